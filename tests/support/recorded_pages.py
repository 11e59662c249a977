"""Records which metrics and labels Prometheus and Alertmanager expose: `python -m tests.support.recorded_pages`.

Of this machine's programs and of Debian 13's, once each, after alerts have gone all the way; a row is a metric's name
and its labels. Prometheus knows some metrics only once there was something to count.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.support import debian13
from tests.support.client import until
from tests.support.engine import Engine
from tests.support.exposed import PAGES_FOLDER
from tests.support.panel_scene import PROGRAMS, Scene, scene

_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:{(.*)})? \S+$", re.MULTILINE)
# not what every program in Go has
_OURS: Final = ("prometheus_", "alertmanager_", "process_")
_LABEL: Final = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')


def shape(page: str) -> set[str]:
    """Return `NAME LABEL,LABEL` of each sample."""
    rows = {(name, tuple(sorted(_LABEL.findall(labels)))) for name, labels in _SAMPLE.findall(page)}
    return {f"{name} {','.join(labels)}".strip() for name, labels in rows}


def record(running: Scene, parts: Iterable[str]) -> list[str]:
    """Write the pages of these parts; return their names. The version is what each tells of itself."""
    written = []
    for part in parts:
        page = running.page(part)
        version = re.search(rf'^{part}_build_info{{.*version="(\d+\.\d+)', page, re.MULTILINE)
        assert version, f"{part} tells no version"
        file = PAGES_FOLDER / f"{part}-{version[1]}.txt"
        file.write_text("\n".join(sorted(row for row in shape(page) if row.startswith(_OURS))) + "\n")
        written.append(file.name)
    return written


def main() -> None:
    """Record all."""
    PAGES_FOLDER.mkdir(parents=True, exist_ok=True)
    newer = tuple(str(debian13.find(name) or "") for name in PROGRAMS)
    with Engine() as engine:
        for programs in (PROGRAMS, newer):
            if all(shutil.which(program) for program in programs):
                _record_from(engine, programs)
            else:
                print(f"not recorded: {programs} are not all there (make test-packages)")


def _record_from(engine: Engine, programs: tuple[str, ...]) -> None:
    sent = 'alertmanager_notifications_total{integration="webhook"} > 5'
    with tempfile.TemporaryDirectory(prefix="hostwatch-pages-") as name, scene(Path(name), engine, programs) as running:
        until(
            lambda: running.reader.api("query", query=sent)["result"], "alerts are on their way", seconds=120, every=0.5
        )
        print(*record(running, ("prometheus", "alertmanager")), sep="\n")


if __name__ == "__main__":
    main()
