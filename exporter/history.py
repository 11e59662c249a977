"""The sampler: reads usage on its own timer and keeps a bounded ring of samples.

It runs on a thread of its own, so that a dead mount can hold up nothing but itself.
"""

import math
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from exporter.logs import Log

log = Log(__name__)

WINDOW_SECONDS: Final = 15
"""The time over which CPU usage is averaged, less while there are no samples that old."""


class CpuTime(NamedTuple):
    """Seconds that one core, or all together, was busy and was there, since boot."""

    busy: float
    total: float


class FileSystemUse(NamedTuple):
    """How full a file system is for those who are not root, as df(1) counts it; 0 to 1."""

    device: str
    fs_type: str
    mount_point: str
    ratio: float


class Reading(NamedTuple):
    """What is read of the machine for one sample; ratios are 0 to 1, None where the system does not tell."""

    cpu: tuple[CpuTime, ...]
    memory: float | None
    swap: float | None
    file_systems: tuple[FileSystemUse, ...]


class Sample(NamedTuple):
    """A reading and its moment."""

    monotonic: float
    cpu: tuple[CpuTime, ...]
    memory: float | None
    swap: float | None
    file_systems: tuple[FileSystemUse, ...]


class Usage(NamedTuple):
    """What the usage gauges show."""

    cpu: float | None
    cores: tuple[float, ...]
    """Empty until there are two samples."""
    memory: float | None
    swap: float | None
    file_systems: tuple[FileSystemUse, ...]


class History:
    """The newest samples; safe to read from any thread."""

    def __init__(
        self, interval: float, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._interval = interval
        self._wall = wall
        self._clock = clock
        # the window's samples, the one before it, and the two quick ones at the start
        self._samples: deque[Sample] = deque(maxlen=int(WINDOW_SECONDS / interval) + 3)
        self.past = Past(interval)

    def add(self, sample: Sample) -> None:
        """Keep a sample; the oldest falls out. Its usage since the sample before goes into the past."""
        before = self._samples[-1] if self._samples else None
        self._samples.append(sample)
        self.past.add(self._wall(), dict(_columns(before, sample)))

    def usage(self) -> Usage | None:
        """Return the usage now; None when the newest sample is over three intervals old, as when a mount hangs."""
        samples = tuple(self._samples)
        if not samples or self._clock() - samples[-1].monotonic > 3 * self._interval + 1:
            return None
        last = samples[-1]
        # half an interval of slack, since no tick is punctual
        young = [s for s in samples if last.monotonic - s.monotonic <= WINDOW_SECONDS + self._interval / 2]
        cores = busy_ratios(young[0].cpu, last.cpu) if len(young) > 1 else ()
        overall = busy_ratios([_sum(young[0].cpu)], [_sum(last.cpu)]) if cores else ()
        return Usage(overall[0] if overall else None, cores, last.memory, last.swap, last.file_systems)


Key = tuple[str, ...]
"""What a column of the past tells of: ("cpu",), ("core", "0"), ("memory",), ("filesystem", "/"), ..."""

KEPT_SECONDS: Final = 3600
MAX_COLUMNS: Final = 1024


class Past:
    """An hour of values, one column a key, 4 bytes a value; full from the start, so that memory never grows with time.

    Written by one thread, read from any.
    """

    def __init__(self, interval: float, seconds: float = KEPT_SECONDS) -> None:
        self._size = max(int(seconds / interval), 1)
        self._next = 0
        self._times = array("d", [math.nan]) * self._size
        self._columns: dict[Key, array[float]] = {}

    def add(self, moment: float, values: Mapping[Key, float]) -> None:
        """Keep the values of one moment (seconds since the epoch); a key that is missing has a gap there.

        Keys beyond MAX_COLUMNS are left out until others have been silent for the whole time.
        """
        place = self._next
        self._next = (place + 1) % self._size
        if place == 0:
            self._forget_silent()
        for column in self._columns.values():
            column[place] = math.nan
        self._times[place] = moment
        for key, value in values.items():
            wanted = self._columns.get(key)
            if wanted is None:
                if len(self._columns) >= MAX_COLUMNS:
                    continue
                wanted = array("f", [math.nan]) * self._size
                self._columns = {**self._columns, key: wanted}  # a reader goes over the old dictionary undisturbed
            wanted[place] = value

    def _forget_silent(self) -> None:
        self._columns = {key: c for key, c in self._columns.items() if any(v == v for v in c)}  # noqa: PLR0124 -- NaN

    def columns(self) -> tuple[Key, ...]:
        """Return the keys that have values."""
        return tuple(self._columns)

    def values(self, key: Key) -> list[tuple[float, float]]:
        """Return moments and values of a key, oldest first, gaps left out; nothing for a key that is not kept."""
        column, start = self._columns.get(key), self._next
        if column is None:
            return []
        places = (*range(start, self._size), *range(start))
        pairs = ((self._times[place], column[place]) for place in places)
        return [(moment, value) for moment, value in pairs if not math.isnan(value)]


def busy_ratios(before: Sequence[CpuTime], after: Sequence[CpuTime]) -> tuple[float, ...]:
    """Return each core's busy share between two readings, 0 to 1; nothing when a core came or went."""
    if len(before) != len(after):
        return ()
    out = []
    for old, new in zip(before, after, strict=True):
        total = new.total - old.total
        if total <= 0:
            return ()  # no tick passed, or the counters began anew
        out.append(min(max((new.busy - old.busy) / total, 0.0), 1.0))
    return tuple(out)


def _columns(before: Sample | None, sample: Sample) -> Iterator[tuple[Key, float]]:
    """Yield what a sample tells by itself, and of the time since the one before."""
    cores = busy_ratios(before.cpu, sample.cpu) if before is not None else ()
    if before is not None and cores:
        yield from ((("cpu",), ratio) for ratio in busy_ratios([_sum(before.cpu)], [_sum(sample.cpu)]))
        yield from ((("core", str(core)), ratio) for core, ratio in enumerate(cores))
    if sample.memory is not None:
        yield ("memory",), sample.memory
    if sample.swap is not None:
        yield ("swap",), sample.swap
    yield from ((("filesystem", use.mount_point), use.ratio) for use in sample.file_systems)


def _sum(cores: Sequence[CpuTime]) -> CpuTime:
    return CpuTime(sum(c.busy for c in cores), sum(c.total for c in cores))


class Sampler:
    """The thread that adds a sample to the history at start, a second later, and then at every interval."""

    FIRST_SECONDS: Final = 1.0

    def __init__(self, history: History, interval: float, read: Callable[[], Reading]) -> None:
        self._history = history
        self._interval = interval
        self._read = read
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="sampler")

    def start(self) -> None:
        """Take the first sample on the new thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end; does not wait for it."""
        self._stop.set()

    def _run(self) -> None:
        wait = self.FIRST_SECONDS
        failing = False
        while True:
            try:
                self._history.add(Sample(time.monotonic(), *self._read()))
                failing = False
            except Exception as err:  # noqa: BLE001 -- the sampler's boundary: the next tick tries again
                if not failing:
                    log.error("sample failed", exc=err)
                failing = True
            if self._stop.wait(wait):
                return
            wait = self._interval
