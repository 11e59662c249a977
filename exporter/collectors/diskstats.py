"""What each block device did (/proc/diskstats)."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.collectors import disk_info
from exporter.collectors.devices import DeviceFilter
from exporter.collectors.disk_info import Disk, DiskInfo
from exporter.exposition import Block, Family, Layout, number, text_of
from exporter.kernel import KernelError, KernelFiles


def _family(key: str, text: str, column: int) -> Family:
    kind = "counter" if key.endswith("_total") else "gauge"
    return Family(
        f"node_disk_{key}",
        "counter" if kind == "counter" else "gauge",
        f"{text} (/proc/diskstats, column {column}).",
        ("device",),
    )


# Documentation/admin-guide/iostats.rst; its sectors have 512 bytes whatever the device's have
COLUMNS: Final = (
    _family("reads_completed_total", "Reads that ended well", 4),
    _family("reads_merged_total", "Reads made part of a neighbouring one", 5),
    _family("read_bytes_total", "Bytes read, sectors of 512 bytes", 6),
    _family("read_time_seconds_total", "Seconds that reads took, those at one time each for itself", 7),
    _family("writes_completed_total", "Writes that ended well", 8),
    _family("writes_merged_total", "Writes made part of a neighbouring one", 9),
    _family("written_bytes_total", "Bytes written, sectors of 512 bytes", 10),
    _family("write_time_seconds_total", "Seconds that writes took, those at one time each for itself", 11),
    _family("io_now", "Requests under way", 12),
    _family("io_time_seconds_total", "Seconds in which a request was under way", 13),
    _family("io_time_weighted_seconds_total", "Seconds times the requests under way in them", 14),
    _family("discards_completed_total", "Discards that ended well, since Linux 4.18", 15),
    _family("discards_merged_total", "Discards made part of a neighbouring one, since Linux 4.18", 16),
    _family("discarded_sectors_total", "Sectors of 512 bytes discarded, since Linux 4.18", 17),
    _family("discard_time_seconds_total", "Seconds that discards took, since Linux 4.18", 18),
    _family("flush_requests_total", "Flushes that ended well, since Linux 5.5", 19),
    _family("flush_requests_time_seconds_total", "Seconds that flushes took, since Linux 5.5", 20),
)
_SECTORS: Final = (2, 6)
_MILLISECONDS: Final = (3, 7, 9, 10, 14, 16)
_SECTOR_BYTES: Final = 512
# major, minor and name come first; eleven counters, four more for discards, two more for flushes
_KEYS: Final = 3
_WIDTHS: Final = (11, 15, 17)
# before Linux 2.6.25 a partition had four counters, of other things
_OLD_PARTITION: Final = 4


class DiskStats:
    """Requests, bytes and time of each block device, and what udev knows about it."""

    name: ClassVar[str] = "diskstats"
    families: ClassVar[tuple[Family, ...]] = (*COLUMNS, *disk_info.FAMILIES)

    def __init__(
        self,
        files: KernelFiles,
        devices: DeviceFilter,
        udev: Path = Path("/run/udev/data"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = files.open_own("proc/diskstats")
        self._devices = devices
        self._info = DiskInfo(files, udev, clock)
        self._lines: list[bytes] | None = None
        self._stale = True
        self._keys: list[tuple[bytes, int]] | None = None
        self._wanted: list[int] = []
        self._disks: list[Disk] = []
        self._width = 0
        self._known: list[bytes] = []
        self._layout = Layout(())

    @property
    def blocking(self) -> bool:
        """Whether the `collect` that follows asks about devices, which waits where one is being set up anew."""
        self._read()
        return self._stale

    def collect(self) -> Block:
        """Return every device's rows.

        Raises NoData where there are no block devices, KernelError when a line is not a device's.
        """
        if self._lines is None:
            self._read()
        lines, self._lines = self._lines or [], None
        for row, index in enumerate(self._wanted):
            line = lines[index]
            if line != self._known[row]:
                self._layout.put(Layout.row(row, len(self._wanted), self._width), parse_disk(line, self._width))
                self._known[row] = line
        if self._stale:
            self._info.read(self._disks)
        return self._layout.render() + self._info.block

    def _read(self) -> None:
        self._lines = None
        lines = disk_lines(self._source.read())
        keys = list(map(_key, lines))
        if keys != self._keys:
            self._rebuild(keys, lines)
        self._lines = lines
        self._stale = self._info.is_stale(self._disks)

    def _rebuild(self, keys: list[tuple[bytes, int]], lines: list[bytes]) -> None:
        self._keys = None  # an error below must not leave lines that belong to no layout
        disks = [parse_key(line) for line in lines]
        # one that came or went while we read may be there twice: its last line counts
        last = {disk.name: index for index, disk in enumerate(disks) if disk is not None}
        self._wanted = [index for name, index in last.items() if self._devices.wants(name)]
        self._disks = [disk for index in self._wanted if (disk := disks[index]) is not None]
        self._width = _width_of([lines[index] for index in self._wanted])
        self._known = [b""] * len(self._wanted)
        self._layout = Layout.grid(COLUMNS[: self._width], [(disk.name,) for disk in self._disks])
        self._keys = keys


def disk_lines(text: bytes) -> list[bytes]:
    """Return the devices' lines of /proc/diskstats. Raises NoData when there are none, KernelError when cut short."""
    if not text:
        raise NoData("no block devices")
    lines = text.split(b"\n")
    if lines.pop():
        raise KernelError(f"proc/diskstats: expected whole lines, got {text[-80:]!r}")
    return lines


def _key(line: bytes) -> tuple[bytes, int]:
    """Return what a layout hangs on: major, minor and name with their blanks, and the number of counters."""
    counters = line.split(None, _KEYS)[_KEYS:]
    return (line[: -len(counters[0])], counters[0].count(b" ")) if counters else (line, 0)


def parse_key(line: bytes) -> Disk | None:
    """Return whose line it is, None for a partition on an old kernel. Raises KernelError naming the line."""
    fields = line.split()
    if len(fields) <= _KEYS or not (fields[0] + fields[1]).isdigit():
        raise KernelError(f"proc/diskstats: expected major, minor, a device and counters, got {line[:80]!r}")
    if len(fields) == _KEYS + _OLD_PARTITION:
        return None
    return Disk(text_of(fields[2]), int(fields[0]), int(fields[1]))


def _width_of(lines: Sequence[bytes]) -> int:
    """Return how many counters that we know each of the lines has. Raises KernelError when they differ."""
    counts = {len(line.split()) - _KEYS for line in lines}
    widths = {min(count, _WIDTHS[-1]) for count in counts} or {_WIDTHS[0]}
    width = widths.pop()
    if widths or width not in _WIDTHS:
        raise KernelError(f"proc/diskstats: expected 11, 15 or 17 counters in all lines alike, got {sorted(counts)}")
    return width


def parse_disk(line: bytes, width: int) -> list[bytes]:
    """Return the counters of one device in bytes, seconds and counts, the first `width` of COLUMNS.

    Raises KernelError when there are fewer, or one is no plain number.
    """
    values = line.split()[_KEYS:]
    if not b"".join(values).isdigit() or (len(values) != width and not len(values) > width == _WIDTHS[-1]):
        raise KernelError(f"proc/diskstats: expected a device and {width} counters, got {line[:80]!r}")
    del values[width:]
    for column in _SECTORS:
        values[column] = b"%d" % (int(values[column]) * _SECTOR_BYTES)
    for column in _MILLISECONDS:
        if column < width and values[column] != b"0":
            values[column] = number(int(values[column]) / 1000)
    return values
