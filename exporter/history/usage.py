"""The newest samples, from which usage is counted, and the hour that they become part of."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Final, NamedTuple

from exporter.history.keys import Key
from exporter.history.past import MAX_SOURCE_COLUMNS, Past
from exporter.history.tops import Tops

WINDOW_SECONDS: Final = 15
"""The time over which CPU usage is averaged, less while there are no samples that old."""

_NOTHING: Final[Mapping[Key, float]] = MappingProxyType({})


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
    core_numbers: tuple[str, ...] = ()
    """Of the cores in `cpu`, as the kernel numbers them: one that is off leaves a gap."""


class Sample(NamedTuple):
    """A reading and its moment."""

    monotonic: float
    cpu: tuple[CpuTime, ...]
    memory: float | None
    swap: float | None
    file_systems: tuple[FileSystemUse, ...]
    core_numbers: tuple[str, ...] = ()


class Usage(NamedTuple):
    """What the usage gauges show."""

    cpu: float | None
    cores: tuple[float, ...]
    """Empty until there are two samples."""
    memory: float | None
    swap: float | None
    file_systems: tuple[FileSystemUse, ...]
    core_numbers: tuple[str, ...] = ()
    """Of the cores in `cores`."""


class Moment(NamedTuple):
    """What was kept of one moment."""

    wall: float
    """When the sample was taken, seconds since the epoch, by the clock as it goes now."""
    values: Mapping[Key, float]


def since_boot() -> float:
    """Return the seconds since boot, those included in which the machine slept, where the system counts them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class History:
    """The newest samples; safe to read from any thread.

    The hour is kept by the time since boot, and asked for by the clock on the wall: when that clock is set, what was
    kept moves with it, as what happened ten minutes ago did.
    """

    def __init__(
        self,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        boot: Callable[[], float] = since_boot,
    ) -> None:
        self.interval = float(interval)
        self._wall = wall
        self._clock = clock
        self._boot = boot
        # the window's samples, the one before it, and the two quick ones at the start
        self._samples: deque[Sample] = deque(maxlen=int(WINDOW_SECONDS / interval) + 3)
        self.past = Past(interval)
        self.tops = Tops(boot)

    def add(self, sample: Sample, others: Mapping[Key, float] = _NOTHING) -> None:
        """Keep a sample; the oldest falls out. Its usage since the sample before goes into the past.

        So do the values that `others` tell of the same moment, MAX_SOURCE_COLUMNS of them at most.
        """
        before = self._samples[-1] if self._samples else None
        self._samples.append(sample)
        values = _columns(before, sample)
        values.update(islice(others.items(), MAX_SOURCE_COLUMNS) if len(others) > MAX_SOURCE_COLUMNS else others)
        self.past.add(self._boot(), values)

    def usage(self) -> Usage | None:
        """Return the usage now; None when the newest sample is over three intervals old, as when a mount hangs."""
        samples = tuple(self._samples)
        if not samples or self._clock() - samples[-1].monotonic > 3 * self.interval + 1:
            return None
        last = samples[-1]
        # half an interval of slack, since no tick is punctual
        young = [s for s in samples if last.monotonic - s.monotonic <= WINDOW_SECONDS + self.interval / 2]
        cores = core_ratios(young[0], last) if len(young) > 1 else ()
        overall = busy_ratios([_sum(young[0].cpu)], [_sum(last.cpu)]) if cores else ()
        numbers = last.core_numbers if cores else ()
        return Usage(overall[0] if overall else None, cores, last.memory, last.swap, last.file_systems, numbers)

    def now(self) -> float:
        """Return the time, seconds since the epoch."""
        return self._wall()

    def at(self, wall: float) -> Moment | None:
        """Return what was kept of a moment, seconds since the epoch: the sample before it, or just after it.

        None where nothing was, as beyond the hour, before the start, in the future and while no samples were taken.
        """
        ahead = self._wall() - self._boot()
        moment = wall - ahead
        found = self.past.row(moment - 1.5 * self.interval, moment + self.interval / 2)
        return None if found is None else Moment(found[0] + ahead, found[1])

    def since_boot(self, wall: float) -> float:
        """Return a moment on the wall, seconds since the epoch, as seconds since boot."""
        return wall - (self._wall() - self._boot())


def core_ratios(before: Sample, after: Sample) -> tuple[float, ...]:
    """Return each core's busy share between two samples, 0 to 1; nothing when a core came or went."""
    return busy_ratios(before.cpu, after.cpu) if before.core_numbers == after.core_numbers else ()


def busy_ratios(before: Sequence[CpuTime], after: Sequence[CpuTime]) -> tuple[float, ...]:
    """Return the busy shares between two readings, 0 to 1; nothing when there are more or fewer than before."""
    if len(before) != len(after):
        return ()
    out = []
    for (old_busy, old_total), (busy, total) in zip(before, after, strict=True):
        passed = total - old_total
        if passed <= 0:
            return ()  # no tick passed, or the counters began anew
        out.append(min(max((busy - old_busy) / passed, 0.0), 1.0))
    return tuple(out)


def _sum(cores: Sequence[CpuTime]) -> CpuTime:
    busy, total = map(sum, zip(*cores, strict=True))
    return CpuTime(busy, total)


@lru_cache(maxsize=1)
def _cpu_keys(core_numbers: tuple[str, ...]) -> tuple[Key, ...]:
    return (("cpu",), *(("core", core) for core in core_numbers))


def _columns(before: Sample | None, sample: Sample) -> dict[Key, float]:
    """Return what a sample tells by itself, and of the time since the one before."""
    values: dict[Key, float] = {("filesystem", use.mount_point): use.ratio for use in sample.file_systems}
    if before is not None and (cores := core_ratios(before, sample)):
        overall = busy_ratios([_sum(before.cpu)], [_sum(sample.cpu)])
        values.update(zip(_cpu_keys(sample.core_numbers), overall + cores, strict=True))
    if sample.memory is not None:
        values["memory",] = sample.memory
    if sample.swap is not None:
        values["swap",] = sample.swap
    return values
