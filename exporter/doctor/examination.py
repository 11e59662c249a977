"""All parts, one after the other; what one tells of the next is handed on."""

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from exporter.doctor import alertmanager, exporter, files, grafana, prometheus, relay
from exporter.doctor.files import Files
from exporter.doctor.finding import Finding
from exporter.doctor.place import Place

PARTS: Final = ("settings", "exporter", "prometheus", "alertmanager", "relay", "grafana")


class Parts(NamedTuple):
    """Where everything is."""

    files: Files
    exporter: Place
    prometheus: Place
    alertmanager: Place
    relay: Place
    grafana: Place


def examine(parts: Parts, only: Collection[str] = PARTS) -> Iterator[Finding]:
    """Yield what is found, part by part. Blocks: each request takes its place's `seconds` at most."""
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "settings": lambda: files.examine(parts.files),
        "exporter": lambda: exporter.examine(parts.exporter),
        "prometheus": lambda: prometheus.examine(parts.prometheus, parts.exporter),
        "alertmanager": lambda: alertmanager.examine(parts.alertmanager, parts.relay),
        "relay": lambda: relay.examine(parts.relay),
        "grafana": lambda: grafana.examine(parts.grafana),
    }
    for part in PARTS:
        if part in only:
            yield from looks[part]()
