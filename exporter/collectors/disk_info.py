"""What is known about block devices (/run/udev/data, /sys/block/DEVICE/queue)."""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from exporter.collectors.watched import SETTLED_NS
from exporter.exposition import Block, Family, Layout, text_of
from exporter.kernel import KernelFiles

INFO: Final = Family(
    "node_disk_info",
    "gauge",
    "1 for each block device, with what it says of itself (/run/udev/data, /sys/block/DEVICE/queue/rotational).",
    ("device", "major", "minor", "model", "path", "revision", "rotational", "serial", "wwn"),
)
FILESYSTEM: Final = Family(
    "node_disk_filesystem_info",
    "gauge",
    "1 for each block device that holds a file system or the like (/run/udev/data, ID_FS_*).",
    ("device", "type", "usage", "uuid", "version"),
)
MAPPER: Final = Family(
    "node_disk_device_mapper_info",
    "gauge",
    "1 for each device of the device mapper (/run/udev/data, DM_*).",
    ("device", "lv_layer", "lv_name", "name", "uuid", "vg_name"),
)


def _ata(key: str, text: str) -> Family:
    return Family(f"node_disk_ata_{key}", "gauge", f"{text} (/run/udev/data, ID_ATA_{key.upper()}).", ("device",))


_ATA: Final = {
    "ID_ATA_WRITE_CACHE": _ata("write_cache", "1 where the disk has a write cache"),
    "ID_ATA_WRITE_CACHE_ENABLED": _ata("write_cache_enabled", "1 where the disk's write cache is on"),
    "ID_ATA_ROTATION_RATE_RPM": _ata("rotation_rate_rpm", "Turns a minute, 0 for a disk that does not turn"),
}
FAMILIES: Final = (INFO, FILESYSTEM, MAPPER, *_ATA.values())

# udev's folder shows what udev changes; a property of the queue may be written by hand at any time
REFRESH_SECONDS: Final = 60
_MAX_FILE: Final = 65536
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?", re.ASCII)

Properties = dict[str, str]
"""udev's names to their values."""


class Disk(NamedTuple):
    """One block device."""

    name: str
    major: int
    minor: int


class DiskInfo:
    """The rows about block devices that seldom change, kept until udev or the set of devices changes."""

    def __init__(
        self,
        files: KernelFiles,
        udev: Path,
        clock: Callable[[], float] = time.monotonic,
        wall_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.block: Block = b""
        """The rows, as read last."""
        self._files = files
        self._udev = str(udev)
        self._clock = clock
        self._wall_clock_ns = wall_clock_ns
        self._disks: list[Disk] | None = None
        self._state: tuple[int, ...] | None = None
        self._due = 0.0

    def is_stale(self, disks: list[Disk]) -> bool:
        """Whether `block` may tell of another moment or other devices. Looks at a folder in memory: never blocks."""
        # udev writes each file aside and renames it: the folder's time tells of all of them
        return disks != self._disks or self._state != self._look() or self._clock() >= self._due

    def read(self, disks: list[Disk]) -> None:
        """Read all there is about these devices; what is not told of one leaves its label empty. May block."""
        state, now = self._look(), self._wall_clock_ns()
        self.block = render([(disk, self._properties(disk), self._rotational(disk.name)) for disk in disks])
        # files changed twice within one tick of the file system's clock leave its time as it is: then look again
        self._state = state if not state or now - state[0] > SETTLED_NS else None
        self._disks = disks
        self._due = self._clock() + REFRESH_SECONDS

    def _look(self) -> tuple[int, ...]:
        try:
            status = os.stat(self._udev)  # noqa: PTH116 -- hot path
        except OSError:
            return ()  # no udev (a container), or not for us
        return status.st_mtime_ns, status.st_ino, status.st_dev

    def _properties(self, disk: Disk) -> Properties:
        return parse_udev(_read_file(f"{self._udev}/b{disk.major}:{disk.minor}"))

    def _rotational(self, name: str) -> str:
        """Return 1 for a disk that turns, 0 for another, nothing where the kernel does not tell."""
        # sysfs writes the slash of cciss/c0d0 as !; a partition has no queue of its own, its disk lies above
        name = name.replace("/", "!")
        if name in {".", ".."}:
            return ""
        for path in (f"sys/block/{name}/queue/rotational", f"sys/class/block/{name}/../queue/rotational"):
            text = _read_file(self._files.path(path))
            if text in {b"0\n", b"1\n"}:
                return text[:1].decode()
        return ""


def _read_file(path: str) -> bytes:
    """Return the file's content, nothing where it is not there, not for us, or larger than such a file is."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return b""
    try:
        data = os.read(fd, _MAX_FILE + 1)
    except OSError:
        return b""
    finally:
        os.close(fd)
    return data if len(data) <= _MAX_FILE else b""


def parse_udev(text: bytes) -> Properties:
    """Return the properties of a device (`E:NAME=value` in its file under /run/udev/data); a line cut short is none."""
    lines = [line[2:] for line in text.split(b"\n")[:-1] if line.startswith(b"E:") and b"=" in line]
    pairs = [line.partition(b"=") for line in lines]
    return {text_of(name): text_of(value) for name, _, value in pairs}


def render(disks: Sequence[tuple[Disk, Properties, str]]) -> Block:
    """Return the rows about these devices: each with udev's properties and whether it turns."""
    rows: list[tuple[Family, list[tuple[str, ...]]]] = [
        (INFO, [_info(*disk) for disk in disks]),
        (FILESYSTEM, [_filesystem(disk, udev) for disk, udev, _ in disks if udev.get("ID_FS_TYPE")]),
        (MAPPER, [_mapper(disk, udev) for disk, udev, _ in disks if udev.get("DM_NAME")]),
    ]
    values = [b"1"] * sum(len(keys) for _, keys in rows)
    drives = [(disk, udev) for disk, udev, _ in disks if udev.get("ID_ATA")]
    for key, family in _ATA.items():
        told = [(disk.name, udev[key]) for disk, udev in drives if _NUMBER.fullmatch(udev.get(key, ""))]
        rows.append((family, [(name,) for name, _ in told]))
        values += [value.encode() for _, value in told]
    return Layout(rows).fill(values)


def _info(disk: Disk, udev: Properties, rotational: str) -> tuple[str, ...]:
    # the first is what is printed on the disk
    serial = udev.get("SCSI_IDENT_SERIAL") or udev.get("ID_SERIAL_SHORT", "")
    model, path, revision, wwn = [udev.get(key, "") for key in ("ID_MODEL", "ID_PATH", "ID_REVISION", "ID_WWN")]
    return disk.name, str(disk.major), str(disk.minor), model, path, revision, rotational, serial, wwn


def _filesystem(disk: Disk, udev: Properties) -> tuple[str, ...]:
    return disk.name, *(udev.get(f"ID_FS_{key}", "") for key in ("TYPE", "USAGE", "UUID", "VERSION"))


def _mapper(disk: Disk, udev: Properties) -> tuple[str, ...]:
    return disk.name, *(udev.get(f"DM_{key}", "") for key in ("LV_LAYER", "LV_NAME", "NAME", "UUID", "VG_NAME"))
