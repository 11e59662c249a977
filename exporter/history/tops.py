"""An hour of who used most: processes by name, and containers."""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from exporter.history.past import KEPT_SECONDS

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of the rows of processes, and again of those of containers. An hour of 20 processes every 10 s takes 0.4 MB."""
MAX_LISTS: Final = 4096
"""Lists of each kind: what their moments and their own room take."""
TOP: Final = 10
"""Containers that are kept, by CPU, and again by memory."""
MAX_TEXT: Final = 200
"""Characters that are kept of a name."""


class ProcessRow(NamedTuple):
    """What all processes of one name used."""

    name: str
    processes: int
    cpu_cores: float
    resident_bytes: int
    read_bytes_per_second: float | None
    """None where it is not known, as for `written_bytes_per_second`."""
    written_bytes_per_second: float | None


class ContainerRow(NamedTuple):
    """What one container used; None for what is not known."""

    name: str
    image: str
    cpu_cores: float | None
    memory_bytes: int | None


class ProcessLike(Protocol):
    """A process name in a scan."""

    @property
    def name(self) -> str: ...  # noqa: D102 -- fields of what is read elsewhere
    @property
    def processes(self) -> int: ...  # noqa: D102
    @property
    def cpu_seconds_per_second(self) -> float: ...  # noqa: D102
    @property
    def resident_bytes(self) -> int: ...  # noqa: D102
    @property
    def read_bytes_per_second(self) -> float | None: ...  # noqa: D102
    @property
    def written_bytes_per_second(self) -> float | None: ...  # noqa: D102


class ContainerLike(Protocol):
    """A container at a scrape."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> str: ...  # noqa: D102
    @property
    def cpu_seconds_total(self) -> float | None: ...  # noqa: D102
    @property
    def memory_bytes(self) -> int | None: ...  # noqa: D102


class _Ring:
    """Lists of rows by their moment, packed; the oldest make room, by age, by bytes and by number."""

    def __init__(self, max_bytes: int) -> None:
        self._kept: deque[tuple[float, bytes]] = deque(maxlen=MAX_LISTS)
        self._max_bytes = max_bytes
        self.bytes = 0

    def add(self, moment: float, rows: Sequence[tuple[object, ...]]) -> None:
        packed = msgspec.msgpack.encode(rows)
        kept = self._kept
        while kept and (
            moment - kept[0][0] > KEPT_SECONDS or self.bytes + len(packed) > self._max_bytes or len(kept) == kept.maxlen
        ):
            self.bytes -= len(kept.popleft()[1])
        if len(packed) <= self._max_bytes:
            kept.append((moment, packed))
            self.bytes += len(packed)

    def at(self, earliest: float, latest: float) -> bytes | None:
        """Return the newest list between two moments."""
        kept = tuple(self._kept)
        place = bisect_right(kept, latest, key=lambda entry: entry[0])
        if not place or kept[place - 1][0] < earliest:
            return None
        return kept[place - 1][1]


class Tops:
    """The top lists of an hour, in at most 2 * MAX_BYTES and the little that their moments take.

    Moments are seconds since boot, those included in which the machine slept. Written by one thread, read from any.
    """

    def __init__(self, boot: Callable[[], float] = time.monotonic) -> None:
        self._boot = boot
        self._processes = _Ring(MAX_BYTES)
        self._containers = _Ring(MAX_BYTES)
        self._before: dict[str, tuple[float, float]] = {}
        """CPU seconds of each container at the reading before, and when that was."""

    def add_processes(self, age: float, processes: Iterable[ProcessLike]) -> None:
        """Keep a list of processes that was made `age` seconds ago."""
        rows = [
            ProcessRow(
                use.name[:MAX_TEXT],
                use.processes,
                round(use.cpu_seconds_per_second, 4),
                use.resident_bytes,
                _whole(use.read_bytes_per_second),
                _whole(use.written_bytes_per_second),
            )
            for use in processes
        ]
        rows.sort(key=lambda row: (-row.cpu_cores, -row.resident_bytes, row.name))
        self._processes.add(self._boot() - age, rows)

    def add_containers(self, age: float, containers: Iterable[ContainerLike]) -> None:
        """Keep the containers that use most, of a reading that is `age` seconds old; CPU is since the one before."""
        moment = self._boot() - age
        before, self._before = self._before, {}
        rows = []
        for one in containers:
            cores = None
            if one.cpu_seconds_total is not None:
                cores = _rate(before.get(one.name), moment, one.cpu_seconds_total)
                self._before[one.name] = moment, one.cpu_seconds_total
            if cores is not None or one.memory_bytes is not None:
                rows.append(ContainerRow(one.name[:MAX_TEXT], one.image[:MAX_TEXT], cores, one.memory_bytes))
        self._containers.add(moment, _largest(rows))

    def processes_at(self, earliest: float, latest: float) -> list[ProcessRow] | None:
        """Return the newest list made between two moments, most CPU first; None where there is none."""
        packed = self._processes.at(earliest, latest)
        return None if packed is None else [ProcessRow(*row) for row in msgspec.msgpack.decode(packed)]

    def containers_at(self, earliest: float, latest: float) -> list[ContainerRow] | None:
        """Return the newest list made between two moments, most CPU first; None where there is none."""
        packed = self._containers.at(earliest, latest)
        return None if packed is None else [ContainerRow(*row) for row in msgspec.msgpack.decode(packed)]


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _rate(before: tuple[float, float] | None, moment: float, seconds: float) -> float | None:
    """Return the cores in use since the reading before; None without one, and where the counter began anew."""
    if before is None or moment <= before[0] or seconds < before[1]:
        return None
    return round((seconds - before[1]) / (moment - before[0]), 4)


def _largest(rows: list[ContainerRow]) -> list[ContainerRow]:
    """Return those that use most CPU and those that use most memory, most CPU first."""
    by_cpu = sorted(rows, key=lambda row: (-(row.cpu_cores or 0.0), -(row.memory_bytes or 0), row.name))
    by_memory = sorted(rows, key=lambda row: (-(row.memory_bytes or 0), row.name))[:TOP]
    names = {row.name for row in (*by_cpu[:TOP], *by_memory)}
    return [row for row in by_cpu if row.name in names]
