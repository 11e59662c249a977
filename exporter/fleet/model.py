"""What the views show: instances and hosts with their status, whatever source they come from."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

DEFAULT_THRESHOLD: Final = 0.75
DEFAULT_DISK_THRESHOLD: Final = 0.9
_EMPTY: Final[Mapping[str, str]] = {}


class SourceError(Exception):
    """There is nothing to show, for the source cannot be asked or gave no list; the text says which and why."""


class Status(StrEnum):
    """How an instance, a host or a service is."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"
    """Not enough is known to say: never shown as healthy."""


class Thresholds(NamedTuple):
    """Ratios, 0 to 1: at or above one of them is unhealthy."""

    cpu: float = DEFAULT_THRESHOLD
    memory: float = DEFAULT_THRESHOLD
    disk: float = DEFAULT_DISK_THRESHOLD


class Row(NamedTuple):
    """One instance of a services API, or one host of Prometheus."""

    name: str
    """The address of an instance; Prometheus' label `instance` of a host."""
    service: str | None
    """What it belongs to; None while that is not known."""
    cpu_ratio: float | None
    """Of all cores, 0 to 1, as the others; None where it is not known."""
    memory_ratio: float | None
    status: Status
    reason: str = ""
    """Why it is not healthy."""
    disk_ratio: float | None = None
    """Of the fullest file system; hosts only."""
    alerts: int | None = None
    """Alerts that fire for it; hosts only."""
    labels: Mapping[str, str] = _EMPTY
    """A host's labels as a target of Prometheus."""


class Snapshot(NamedTuple):
    """All that a source told at one time, in its order."""

    rows: tuple[Row, ...]
    at: float
    """When it was complete, seconds since the epoch."""
    left_out: int = 0
    """Instances over the limit, which were not asked for."""
    faults: tuple[str, ...] = ()
    """What could not be learned of any row: a line each, for people."""


Progress = Callable[[int, int], None]
"""Is told how many answers are there, and of how many; from any thread."""


def unseen(_done: int, _of: int) -> None:
    """Take progress, and leave it."""


class Source(Protocol):
    """Where rows are read."""

    name: str
    """The address, for people."""

    def fetch(self, service: str | None = None, progress: Progress = unseen) -> Snapshot:
        """Return all rows, or those of one service. Blocks, until its own deadline at most. Raises SourceError."""
        ...


def judge(values: Mapping[str, tuple[float | None, float]]) -> tuple[Status, str]:
    """Return the status that values by name make, each beside its threshold, and the reason where it is not healthy.

    One at or above its threshold is unhealthy, whatever the others are; one that is missing leaves it unknown.
    """
    over = [
        f"{name} {percent(value)} >= {percent(limit)}"
        for name, (value, limit) in values.items()
        if value is not None and value >= limit
    ]
    if over:
        return Status.UNHEALTHY, ", ".join(over)
    missing = [name for name, (value, _) in values.items() if value is None]
    if missing:
        return Status.UNKNOWN, f"no value of {' and '.join(missing)}"
    return Status.HEALTHY, ""


def percent(ratio: float | None) -> str:
    """Return a ratio as people read it, with as many digits as it takes to tell 74.96 % from 75 %; `-` for None."""
    if ratio is None:
        return "-"
    value = ratio * 100
    text = f"{value:.1f}"
    if text.endswith(".0") and abs(value - round(value)) > 1e-9:
        text = f"{value:.2f}"
    return f"{text.rstrip('0').rstrip('.')}%"


def count_by_status(statuses: Sequence[Status]) -> dict[Status, int]:
    """Return how many there are of each status."""
    return {status: statuses.count(status) for status in Status}
