"""The process names that use most, as the last scan found them."""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from exporter.history import History
from exporter.web.evidence import PROCESSES_SECONDS, Process, process_of

Order = Callable[[Process], float]


def _rate(field: str) -> Order:
    def rate(one: Process) -> float:
        value = getattr(one, field)
        return -1.0 if value is UNSET else float(value)

    return rate


ORDERS: Final[dict[str, Order]] = {
    "cpu": lambda one: one.cpu_cores,
    "memory": lambda one: one.resident_bytes,
    "read": _rate("read_bytes_per_second"),
    "written": _rate("written_bytes_per_second"),
    "processes": lambda one: one.processes,
}


class Processes(msgspec.Struct, frozen=True):
    """The names that use most CPU or memory; missing where nobody looks at processes."""

    processes: list[Process] | UnsetType = UNSET


def processes(history: History, order: str = "cpu", limit: int = 100) -> Processes:
    """Return the names of the last scan, most first by one of ORDERS."""
    now = history.since_boot(history.now())
    rows = history.tops.processes_at(now - PROCESSES_SECONDS, now + history.interval)
    if rows is None:
        return Processes()
    found = [process_of(row) for row in rows]
    found.sort(key=lambda one: one.name)
    found.sort(key=ORDERS[order], reverse=True)
    return Processes(found[:limit])
