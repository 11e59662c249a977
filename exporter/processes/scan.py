"""What one look at all processes found."""

from collections.abc import Mapping
from typing import NamedTuple

from exporter.processes.groups import GroupState
from exporter.processes.top import ProcessUse
from exporter.settings.processes import Match


class Scan(NamedTuple):
    """What one look at all processes found; immutable."""

    monotonic: float
    """When it began, by the clock that only goes forward; `wall` in seconds since the epoch."""
    wall: float
    boot: float
    """When the machine booted, seconds since the epoch."""
    seconds: float
    """How long it took."""
    processes: int
    """How many were seen, kernel threads and zombies included."""
    complete: bool
    """False when permissions hide processes (hidepid): then there are no lists, no groups and no counts."""
    top_cpu: tuple[ProcessUse, ...] = ()
    """The names that use most CPU, most first; empty at the first scan."""
    other_cores: float | None = None
    """Cores in use by all others; None at the first scan."""
    top_memory: tuple[ProcessUse, ...] = ()
    other_resident: int | None = None
    groups: tuple[GroupState, ...] = ()
    counts: Mapping[Match, int | None] = {}
    """How many processes of each watched match run; None where a hidden field leaves that open."""
