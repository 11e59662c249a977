"""The parts: which program each is, and with which options."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stack.settings import Settings


class Part(NamedTuple):
    """One process of the stack; `ready` is the path that answers 200 once it can work."""

    name: str
    title: str
    shows: str
    command: tuple[str, ...]
    ready: str = "/-/ready"


def make_parts(settings: Settings, programs: Mapping[str, str]) -> tuple[Part, ...]:
    """Return the parts in the order of their start: who is asked stands before those who ask."""
    return (
        Part("exporter", "exporter", "this machine's metrics", _hostwatch("serve", settings.state / "exporter.yml")),
        Part(
            "relay",
            "relay",
            "each message as it would look in Slack",
            _hostwatch("relay", settings.state / "relay.yml"),
        ),
        Part("alertmanager", "Alertmanager", "what fires, silences", _alertmanager(settings, programs["alertmanager"])),
        Part("prometheus", "Prometheus", "graphs, rules, targets", _prometheus(settings, programs["prometheus"])),
    )


def _hostwatch(command: str, config: Path) -> tuple[str, ...]:
    return (str(Path(sys.executable).parent / "hostwatch"), command, "--config", str(config))


def _alertmanager(settings: Settings, program: str) -> tuple[str, ...]:
    return (
        program,
        f"--config.file={settings.state / 'alertmanager' / 'alertmanager.yml'}",
        f"--storage.path={settings.state / 'data' / 'alertmanager'}",
        f"--web.listen-address={settings.address('alertmanager')}",
        f"--web.external-url={settings.url('alertmanager')}",
        # one Alertmanager has nobody to gossip with, and would listen on every address for it
        "--cluster.listen-address=",
    )


def _prometheus(settings: Settings, program: str) -> tuple[str, ...]:
    return (
        program,
        f"--config.file={settings.state / 'prometheus' / 'prometheus.yml'}",
        f"--storage.tsdb.path={settings.state / 'data' / 'prometheus'}",
        "--storage.tsdb.retention.time=15d",
        "--storage.tsdb.retention.size=1GB",
        f"--web.listen-address={settings.address('prometheus')}",
        f"--web.external-url={settings.url('prometheus')}",
    )
