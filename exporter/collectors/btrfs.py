"""Btrfs file systems (/sys/fs/btrfs, and ioctls for their devices)."""

import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Final, NamedTuple

from exporter.collectors.mounts import parse_mountinfo
from exporter.collectors.sysfs import (
    Sample,
    SysfsCollector,
    list_entries,
    read_count,
    read_text,
    read_whole,
    scale,
)
from exporter.exposition import Family, number, text_of
from exporter.kernel import KernelError, KernelFiles

_GROUP: Final = ("uuid", "block_group_type")
_LAYOUT: Final = (*_GROUP, "mode")
_DEVICE: Final = ("uuid", "device", "btrfs_dev_uuid")

INFO: Final = Family("node_btrfs_info", "gauge", "1, with the label (/sys/fs/btrfs/UUID/label).", ("uuid", "label"))
RESERVE: Final = Family(
    "node_btrfs_global_rsv_size_bytes",
    "gauge",
    "Bytes of the global reserve (/sys/fs/btrfs/UUID/allocation/global_rsv_size).",
    ("uuid",),
)
COMMITS: Final = Family(
    "node_btrfs_commits_total", "counter", "Commits (/sys/fs/btrfs/UUID/commit_stats, commits).", ("uuid",)
)
LAST_COMMIT: Final = Family(
    "node_btrfs_last_commit_seconds",
    "gauge",
    "Seconds that the last commit took (/sys/fs/btrfs/UUID/commit_stats, last_commit_ms).",
    ("uuid",),
)
MAX_COMMIT: Final = Family(
    "node_btrfs_max_commit_seconds",
    "gauge",
    "Seconds that the slowest commit took (/sys/fs/btrfs/UUID/commit_stats, max_commit_ms).",
    ("uuid",),
)
COMMIT_SECONDS: Final = Family(
    "node_btrfs_commit_seconds_total",
    "counter",
    "Seconds that all commits took (/sys/fs/btrfs/UUID/commit_stats, total_commit_ms).",
    ("uuid",),
)
RESERVED: Final = Family(
    "node_btrfs_reserved_bytes",
    "gauge",
    "Bytes set aside for writes under way (/sys/fs/btrfs/UUID/allocation/*/bytes_reserved).",
    _GROUP,
)
USED: Final = Family(
    "node_btrfs_used_bytes", "gauge", "Bytes used (/sys/fs/btrfs/UUID/allocation/*/*/used_bytes).", _LAYOUT
)
SIZE: Final = Family(
    "node_btrfs_size_bytes", "gauge", "Bytes allocated (/sys/fs/btrfs/UUID/allocation/*/*/total_bytes).", _LAYOUT
)
RATIO: Final = Family(
    "node_btrfs_allocation_ratio",
    "gauge",
    "Bytes on the devices that a byte takes in this layout (/sys/fs/btrfs/UUID/allocation/*/*).",
    _LAYOUT,
)
DEVICE_SIZE: Final = Family(
    "node_btrfs_device_size_bytes", "gauge", "Bytes of the device (BTRFS_IOC_DEV_INFO, total_bytes).", _DEVICE
)
DEVICE_UNUSED: Final = Family(
    "node_btrfs_device_unused_bytes",
    "gauge",
    "Bytes of the device not yet allocated (BTRFS_IOC_DEV_INFO, total_bytes - bytes_used).",
    _DEVICE,
)
DEVICE_ERRORS: Final = Family(
    "node_btrfs_device_errors_total",
    "counter",
    "Errors of the device by type (BTRFS_IOC_GET_DEV_STATS).",
    (*_DEVICE, "type"),
)

_COMMIT_LINES: Final = {
    b"commits": (COMMITS, 1),
    b"last_commit_ms": (LAST_COMMIT, 1000),
    b"max_commit_ms": (MAX_COMMIT, 1000),
    b"total_commit_ms": (COMMIT_SECONDS, 1000),
}
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COPIES: Final = {"single": 1, "raid0": 1, "dup": 2, "raid1": 2, "raid10": 2, "raid1c3": 3, "raid1c4": 4}
_PARITY: Final = {"raid5": 1, "raid6": 2}
_SECTOR_BYTES: Final = 512

ERROR_TYPES: Final = ("write", "read", "flush", "corruption", "generation")
# requests of ioctl(2) and their structs (include/uapi/linux/btrfs.h)
_FS_INFO: Final = 0x8400941F
_DEV_INFO: Final = 0xD000941E
_DEV_STATS: Final = 0xC4089434
_DEV_PATH_AT: Final = 3072


class Device(NamedTuple):
    """One device of a file system, as the ioctls tell it; `errors` in the order of ERROR_TYPES."""

    name: str
    uuid: str
    total: int
    used: int
    errors: tuple[int, ...]


def inspect(mount_point: bytes) -> tuple[str, list[Device]]:
    """Return the UUID and the devices of what is mounted there. Raises OSError."""
    fd = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        answer = _ask(fd, _FS_INFO, bytearray(1024))
        max_id, count = struct.unpack_from("=QQ", answer)
        devices: list[Device] = []
        for number_ in range(max_id + 1):  # numbers have gaps where devices were taken out
            if len(devices) < count and (device := _inspect_device(fd, number_)) is not None:
                devices.append(device)
        return _dashed(answer[16:32]), devices
    finally:
        os.close(fd)


def _dashed(uuid: bytes) -> str:
    digits = uuid.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _ask(fd: int, request: int, argument: bytearray) -> bytes:
    fcntl.ioctl(fd, request, argument)
    return bytes(argument)


def _inspect_device(fd: int, device: int) -> Device | None:
    try:
        info = _ask(fd, _DEV_INFO, bytearray(struct.pack("=Q", device).ljust(4096, b"\0")))
    except OSError:
        return None
    stats = _ask(fd, _DEV_STATS, bytearray(struct.pack("=QQ", device, len(ERROR_TYPES)).ljust(1032, b"\0")))
    used, total = struct.unpack_from("=QQ", info, 24)
    path = info[_DEV_PATH_AT:].split(b"\0", 1)[0]
    return Device(
        text_of(path.rpartition(b"/")[2]), _dashed(info[8:24]), total, used, struct.unpack_from("=5Q", stats, 24)
    )


class Btrfs(SysfsCollector):
    """Allocation, commits and devices of each mounted btrfs; a device's errors only where its mount can be opened."""

    name: ClassVar[str] = "btrfs"
    families: ClassVar[tuple[Family, ...]] = (
        INFO,
        RESERVE,
        COMMITS,
        LAST_COMMIT,
        MAX_COMMIT,
        COMMIT_SECONDS,
        RESERVED,
        USED,
        SIZE,
        RATIO,
        DEVICE_SIZE,
        DEVICE_UNUSED,
        DEVICE_ERRORS,
    )
    root: ClassVar[str] = "sys/fs/btrfs"
    needs_root: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, look: Callable[[bytes], tuple[str, list[Device]]] = inspect) -> None:
        """Take what asks a mount point for its devices."""
        super().__init__(files)
        self._mounts = files.open_own("proc/1/mountinfo")
        self._inspect = look

    def has_devices(self) -> bool:
        """Return whether a file system is mounted: the module alone has a folder too."""
        return any(map(_UUID.fullmatch, list_entries(self._root)))

    def samples(self) -> Iterator[Sample]:
        """Yield each file system's rows. Raises KernelError naming the file that is not the kernel's."""
        uuids = list(filter(_UUID.fullmatch, list_entries(self._root)))
        devices = dict(self._inspect_mounts()) if uuids else {}
        for uuid in uuids:
            folder = f"{self._root}/{uuid}"
            yield INFO, (uuid, read_text(f"{folder}/label") or ""), b"1"
            reserve = read_count(f"{folder}/allocation/global_rsv_size")
            if reserve is not None:
                yield RESERVE, (uuid,), reserve
            yield from _commits(folder, uuid)
            names = list_entries(f"{folder}/devices")
            for group in ("data", "metadata", "system"):
                yield from _allocation(f"{folder}/allocation/{group}", (uuid, group), len(names))
            known = devices.get(uuid)
            yield from _sizes(folder, uuid, names) if known is None else _devices(uuid, known)

    def _inspect_mounts(self) -> Iterator[tuple[str, list[Device]]]:
        try:
            mounts = list(parse_mountinfo(self._mounts.read()))
        except KernelError:
            return  # hidden from us, or another process' namespace: sysfs still tells the sizes
        for path in {mount.device: mount.path for mount in mounts if mount.fs_type == "btrfs"}.values():
            try:
                yield self._inspect(path)
            except OSError:
                continue  # a mount that we may not open


def _commits(folder: str, uuid: str) -> Iterator[Sample]:
    path = f"{folder}/commit_stats"
    for line in (read_whole(path) or b"").splitlines():
        key, _, digits = line.partition(b" ")
        if key in _COMMIT_LINES:
            if not digits.isdigit():
                raise KernelError(f"{path}: expected a number, got {line[:80]!r}")
            family, divisor = _COMMIT_LINES[key]
            yield family, (uuid,), scale(digits, divisor)


def _allocation(folder: str, labels: tuple[str, str], devices: int) -> Iterator[Sample]:
    reserved = read_count(f"{folder}/bytes_reserved")
    if reserved is not None:
        yield RESERVED, labels, reserved
    for mode in list_entries(folder):
        total, used = read_count(f"{folder}/{mode}/total_bytes"), read_count(f"{folder}/{mode}/used_bytes")
        if total is not None and used is not None:
            yield USED, (*labels, mode), used
            yield SIZE, (*labels, mode), total
            ratio = ratio_of(mode, devices)
            if ratio is not None:
                yield RATIO, (*labels, mode), number(ratio)


def ratio_of(mode: str, devices: int) -> float | None:
    """Return how many bytes on `devices` devices a byte takes; None for a layout that is not known."""
    if mode in _PARITY:
        return devices / (devices - _PARITY[mode]) if devices > _PARITY[mode] else None
    return _COPIES.get(mode)


def _sizes(folder: str, uuid: str, names: Iterable[str]) -> Iterator[Sample]:
    for name in names:
        sectors = read_count(f"{folder}/devices/{name}/size")
        if sectors is not None:
            yield DEVICE_SIZE, (uuid, name, ""), b"%d" % (int(sectors) * _SECTOR_BYTES)


def _devices(uuid: str, devices: Iterable[Device]) -> Iterator[Sample]:
    for device in devices:
        labels = (uuid, device.name, device.uuid)
        yield DEVICE_SIZE, labels, b"%d" % device.total
        yield DEVICE_UNUSED, labels, b"%d" % (device.total - device.used)
        for kind, errors in zip(ERROR_TYPES, device.errors, strict=True):
            yield DEVICE_ERRORS, (*labels, kind), b"%d" % errors
