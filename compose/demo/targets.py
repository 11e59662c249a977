"""Tells Prometheus of the demo's exporters as long as it runs: `python -m compose.demo.targets`.

A file of targets, with environment and role of each. The service init removes it at a start without the demo, and so
does this one at its end: hosts that are not there would be alerts.
"""

import json
import signal
import threading
from pathlib import Path
from typing import Final

FILE: Final = Path("/targets/node/demo.yml")
EVERY_SECONDS: Final = 5.0
FLEET: Final = (
    ("dev-app-1", "development", "app"),
    ("staging-api-1", "staging", "api"),
    ("production-auth-1", "production", "auth"),
)


def render() -> str:
    """Return the file; JSON is YAML."""
    rows = [
        {
            "targets": [f"demo-{instance}:10101"],
            "labels": {"instance": instance, "environment": environment, "role": role},
        }
        for instance, environment, role in FLEET
    ]
    return json.dumps(rows, indent=2) + "\n"


def run(file: Path, ended: threading.Event) -> None:
    """Keep the file in place until the end, then remove it."""
    new = file.with_name(".demo.new")
    while not ended.is_set():
        if not file.exists():
            new.write_text(render())
            new.replace(file)
        ended.wait(EVERY_SECONDS)
    file.unlink(missing_ok=True)


if __name__ == "__main__":
    _ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: _ended.set())
    signal.signal(signal.SIGINT, lambda *_: _ended.set())
    run(FILE, _ended)
