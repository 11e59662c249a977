"""Disks, file systems and network interfaces."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from exporter.history import Key, Usage
from exporter.web.answers.fields import Number, Pressure, Whole, number, pressure_of, whole
from exporter.web.rows import Rows

DISKS_FROM = ("filesystem", "diskstats", "pressure")
NETWORK_FROM = ("netdev", "netclass")


class FileSystem(msgspec.Struct, frozen=True):
    """How full a file system is."""

    mountpoint: str
    device: str
    fstype: str
    usage_ratio: Number = UNSET
    """Of what others than root can have, as df(1) counts it; 0 to 1."""
    size_bytes: Whole = UNSET
    available_bytes: Whole = UNSET
    inodes: Whole = UNSET
    inodes_free: Whole = UNSET
    read_only: bool | UnsetType = UNSET


class Disk(msgspec.Struct, frozen=True):
    """What a disk moved: since boot, and a second between the last two samples."""

    device: str
    read_bytes_total: Whole = UNSET
    written_bytes_total: Whole = UNSET
    reads_total: Whole = UNSET
    writes_total: Whole = UNSET
    busy_seconds_total: Number = UNSET
    """Seconds in which a request was under way."""
    read_bytes_per_second: Number = UNSET
    written_bytes_per_second: Number = UNSET


class Disks(msgspec.Struct, frozen=True):
    """File systems and disks."""

    filesystems: list[FileSystem] | UnsetType = UNSET
    disks: list[Disk] | UnsetType = UNSET
    pressure: Pressure | UnsetType = UNSET


class Interface(msgspec.Struct, frozen=True):
    """What a network interface moved: since boot, and a second between the last two samples."""

    interface: str
    up: bool | UnsetType = UNSET
    receive_bytes_total: Whole = UNSET
    transmit_bytes_total: Whole = UNSET
    receive_packets_total: Whole = UNSET
    transmit_packets_total: Whole = UNSET
    receive_errors_total: Whole = UNSET
    transmit_errors_total: Whole = UNSET
    receive_drops_total: Whole = UNSET
    transmit_drops_total: Whole = UNSET
    receive_bytes_per_second: Number = UNSET
    transmit_bytes_per_second: Number = UNSET


class Network(msgspec.Struct, frozen=True):
    """The network interfaces."""

    interfaces: list[Interface] | UnsetType = UNSET


Rates = Mapping[Key, float]
"""What the newest sample holds."""


def disks(rows: Rows, usage: Usage | None, rates: Rates) -> Disks:
    """Return file systems and disks."""
    ratios = {} if usage is None else {use.mount_point: use.ratio for use in usage.file_systems}
    found = sorted((f["mountpoint"], f["device"], f["fstype"]) for f, _ in rows.all("node_filesystem_device_error"))
    size, available = (rows.by("mountpoint", f"node_filesystem_{name}_bytes") for name in ("size", "avail"))
    files, free = (rows.by("mountpoint", f"node_filesystem_{name}") for name in ("files", "files_free"))
    read_only = rows.by("mountpoint", "node_filesystem_readonly")
    systems = [
        FileSystem(
            mountpoint=mount,
            device=device,
            fstype=kind,
            usage_ratio=number(ratios.get(mount)),
            size_bytes=whole(size.get(mount)),
            available_bytes=whole(available.get(mount)),
            inodes=whole(files.get(mount)),
            inodes_free=whole(free.get(mount)),
            read_only=_truth(read_only.get(mount)),
        )
        for mount, device, kind in found
    ]
    return Disks(systems or UNSET, _disks(rows, rates) or UNSET, pressure_of(rows, "io"))


def _disks(rows: Rows, rates: Rates) -> list[Disk]:
    read, written = (rows.by("device", f"node_disk_{way}_bytes_total") for way in ("read", "written"))
    reads, writes = (rows.by("device", f"node_disk_{what}_completed_total") for what in ("reads", "writes"))
    busy = rows.by("device", "node_disk_io_time_seconds_total")
    return [
        Disk(
            device=name,
            read_bytes_total=whole(read.get(name)),
            written_bytes_total=whole(written.get(name)),
            reads_total=whole(reads.get(name)),
            writes_total=whole(writes.get(name)),
            busy_seconds_total=number(busy.get(name)),
            read_bytes_per_second=number(rates.get(("read", name))),
            written_bytes_per_second=number(rates.get(("written", name))),
        )
        for name in sorted(read)
    ]


def network(rows: Rows, rates: Rates) -> Network:
    """Return the network interfaces."""
    received, sent = (_counters(rows, way) for way in ("receive", "transmit"))
    up = rows.by("device", "node_network_up")
    interfaces = [
        Interface(
            interface=name,
            up=_truth(up.get(name)),
            receive_bytes_total=whole(received["bytes"].get(name)),
            transmit_bytes_total=whole(sent["bytes"].get(name)),
            receive_packets_total=whole(received["packets"].get(name)),
            transmit_packets_total=whole(sent["packets"].get(name)),
            receive_errors_total=whole(received["errs"].get(name)),
            transmit_errors_total=whole(sent["errs"].get(name)),
            receive_drops_total=whole(received["drop"].get(name)),
            transmit_drops_total=whole(sent["drop"].get(name)),
            receive_bytes_per_second=number(rates.get(("receive", name))),
            transmit_bytes_per_second=number(rates.get(("transmit", name))),
        )
        for name in sorted(received["bytes"])
    ]
    return Network(interfaces or UNSET)


def _counters(rows: Rows, way: str) -> Mapping[str, Mapping[str, float]]:
    return {
        what: rows.by("device", f"node_network_{way}_{what}_total") for what in ("bytes", "packets", "errs", "drop")
    }


def _truth(value: float | None) -> bool | UnsetType:
    return UNSET if value is None else value > 0
