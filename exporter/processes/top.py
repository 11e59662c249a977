"""The names that use most: bounded lists by CPU and by memory, with the rest summed up."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from exporter.processes.table import Process

OTHER: Final = "other"
"""The row of the rest; a process of that name is part of it."""

LEAST_CORES: Final = 0.001
"""Less than that does not make a name stand out: idle machines would give another ten names at each scan."""

_NANOSECONDS: Final = 1e9


class ProcessUse(NamedTuple):
    """What all processes of one name use together."""

    name: str
    processes: int
    cpu_seconds_per_second: float
    """Cores in use, over the time since the scan before."""
    resident_bytes: int
    read_bytes_per_second: float | None
    """None where it is not known of all of them: permissions, or they have just come into the list."""
    written_bytes_per_second: float | None


class Top(NamedTuple):
    """The lists, most first, and what all the others use together; nothing until there are two scans."""

    by_cpu: tuple[ProcessUse, ...] = ()
    other_cores: float | None = None
    by_memory: tuple[ProcessUse, ...] = ()
    other_resident: int | None = None


class Names:
    """The processes by name."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._members: dict[str, set[Process]] = {}
        self._resident: dict[str, int] = {}
        self._stale: set[str] = set()
        self._used: dict[str, int] = defaultdict(int)
        self.watched: frozenset[str] = frozenset()
        """The names in the last lists: of their processes the bytes read and written are wanted."""

    def add(self, process: Process) -> None:
        """Take a process in under its name."""
        self._members.setdefault(process.name, set()).add(process)
        self._stale.add(process.name)

    def remove(self, process: Process, name: str) -> None:
        """Take a process out from under the name that it had."""
        members = self._members[name]
        members.discard(process)
        if not members:
            del self._members[name]
            self._resident.pop(name, None)
        self._stale.add(name)

    def count(self, process: Process) -> None:
        """Add what a process used since the scan before; its memory may differ too."""
        self._used[process.name] += process.clock_used
        self._stale.add(process.name)

    def members(self, names: Iterable[str]) -> list[Process]:
        """Return the processes of some names."""
        return [process for name in names for process in self._members.get(name, ())]

    def rank(self, elapsed: float | None) -> Top:
        """Return the lists of the scan that ends; `elapsed` seconds since the one before, None for the first."""
        for name in self._stale & self._members.keys():
            self._resident[name] = sum(process.stat.resident for process in self._members[name])
        self._stale.clear()
        used, self._used = self._used, defaultdict(int)
        by_memory = self._most({name: value for name, value in self._resident.items() if value})
        if not elapsed:
            self.watched = frozenset(by_memory)
            return Top()
        cores = {name: ns / _NANOSECONDS / elapsed for name, ns in used.items()}
        by_cpu = self._most({name: value for name, value in cores.items() if value >= LEAST_CORES})
        uses = {name: self._use(name, cores.get(name, 0.0), elapsed) for name in {*by_cpu, *by_memory}}
        self.watched = frozenset(uses)
        return Top(
            tuple(uses[name] for name in by_cpu),
            sum(value for name, value in cores.items() if name not in by_cpu),
            tuple(uses[name] for name in by_memory),
            sum(value for name, value in self._resident.items() if name not in by_memory),
        )

    def _most(self, values: Mapping[str, float]) -> list[str]:
        """Return the names of the largest values, largest first; equal ones by name."""
        names = (name for name in values if name != OTHER)
        return heapq.nsmallest(self._size, names, key=lambda name: (-values[name], name))

    def _use(self, name: str, cores: float, elapsed: float) -> ProcessUse:
        members = self._members.get(name, set())
        read = written = 0
        known = True
        for process in members:
            if process.io is None or process.io_moved is None:
                known = False
            else:
                read += process.io_moved[0]
                written += process.io_moved[1]
        return ProcessUse(
            name,
            len(members),
            cores,
            self._resident.get(name, 0),
            read / elapsed if known else None,
            written / elapsed if known else None,
        )
