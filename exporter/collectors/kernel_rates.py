"""What disks and the network moved since the last sample, for the history: bytes a second of each device."""

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from exporter.collector import NoData
from exporter.collectors.devices import DeviceFilter
from exporter.collectors.diskstats import disk_lines
from exporter.collectors.netdev import device_lines
from exporter.exposition import text_of
from exporter.history import Key
from exporter.kernel import KernelError, KernelFiles

MAX_DEVICES: Final = 32
"""Of each kind: the first that have ever moved a byte."""

_SECTOR_BYTES: Final = 512
# what comes and goes with each container, and the machine's talk with itself
_INNER: Final = ("lo", "veth", "ifb", "dummy")

Counters = Mapping[str, tuple[int, int]]
"""Bytes in and out since boot, by device."""


class KernelRates:
    """A source of the sampler: reads /proc/net/dev and /proc/diskstats. Lives on the sampler's thread."""

    def __init__(
        self,
        files: KernelFiles,
        interfaces: DeviceFilter | None,
        disks: DeviceFilter | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the kernel's trees, which devices are wanted, None for none, and the clock between two samples."""
        self._kinds: list[_Kind] = []
        if interfaces is not None:
            net = files.open_own("proc/net/dev")
            self._kinds.append(_Kind(("receive", "transmit"), lambda: net_counters(net.read(), interfaces)))
        if disks is not None:
            diskstats = files.open_own("proc/diskstats")
            self._kinds.append(_Kind(("read", "written"), lambda: disk_counters(diskstats.read(), disks)))
        self._clock = clock

    def __call__(self) -> Mapping[Key, float]:
        """Return what each device moved since the call before; nothing of what cannot be read."""
        now = self._clock()
        values: dict[Key, float] = {}
        for kind in self._kinds:
            kind.add(now, values)
        return values


class _Kind:
    """Devices of one kind."""

    def __init__(self, names: tuple[str, str], read: Callable[[], Counters]) -> None:
        self._names = names
        self._read = read
        self._before: Counters = {}
        self._at = 0.0

    def add(self, now: float, values: dict[Key, float]) -> None:
        """Add the rates since the call before; a counter that began anew tells nothing."""
        try:
            counters = self._read()
        except (KernelError, NoData):  # as in a container without either: the collectors tell of it
            counters = {}
        before, passed = self._before, now - self._at
        self._before, self._at = counters, now
        if passed <= 0:
            return
        for device in islice(counters.keys() & before.keys(), MAX_DEVICES):
            for name, new, old in zip(self._names, counters[device], before[device], strict=True):
                if new >= old:
                    values[name, device] = (new - old) / passed


def net_counters(text: bytes, wanted: DeviceFilter) -> Counters:
    """Return bytes received and sent of the devices that are wanted and were ever used. Raises KernelError."""
    return dict(islice(_net_counters(text, wanted), MAX_DEVICES))


def _net_counters(text: bytes, wanted: DeviceFilter) -> Iterator[tuple[str, tuple[int, int]]]:
    for line in device_lines(text):
        head, _, rest = line.partition(b":")
        name = text_of(head.strip())
        if name.startswith(_INNER) or not wanted.wants(name):
            continue
        values = rest.split(None, 9)
        try:
            received, sent = int(values[0]), int(values[8])
        except (ValueError, IndexError):
            raise KernelError(f"proc/net/dev: expected a device and its counters, got {line[:80]!r}") from None
        if received or sent:
            yield name, (received, sent)


def disk_counters(text: bytes, wanted: DeviceFilter) -> Counters:
    """Return bytes read and written of the disks that are wanted and were ever used. Raises KernelError, NoData."""
    return dict(islice(_disk_counters(text, wanted), MAX_DEVICES))


def _disk_counters(text: bytes, wanted: DeviceFilter) -> Iterator[tuple[str, tuple[int, int]]]:
    for line in disk_lines(text):
        values = line.split(None, 10)
        if len(values) < 11:  # a partition before Linux 2.6.25
            continue
        name = text_of(values[2])
        if not wanted.wants(name):
            continue
        try:
            read, written = int(values[5]) * _SECTOR_BYTES, int(values[9]) * _SECTOR_BYTES
        except ValueError:
            raise KernelError(f"proc/diskstats: expected a device and its counters, got {line[:80]!r}") from None
        if read or written:
            yield name, (read, written)
