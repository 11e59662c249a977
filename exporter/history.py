"""The sampler: reads usage on its own timer and keeps a bounded ring of samples.

It runs on a thread of its own, so that a dead mount can hold up nothing but itself.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
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

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        # the window's samples, the one before it, and the two quick ones at the start
        self._samples: deque[Sample] = deque(maxlen=int(WINDOW_SECONDS / interval) + 3)

    def add(self, sample: Sample) -> None:
        """Keep a sample; the oldest falls out."""
        self._samples.append(sample)

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
