"""State and properties of network devices (rtnetlink and /sys/class/net)."""

import os
import re
import time
from collections.abc import Callable, Iterable
from typing import ClassVar, Final, NamedTuple

from exporter.collector import NoData
from exporter.collectors.links import Attributes, Links
from exporter.exposition import Block, Family, Layout, text_of
from exporter.kernel import KernelError, KernelFiles
from exporter.settings.values import Regex


class _Column(NamedTuple):
    """One family and the file below /sys/class/net/DEVICE that has its value."""

    family: Family
    file: str


def _column(key: str, file: str, text: str) -> _Column:
    kind = "counter" if key.endswith("_total") else "gauge"
    return _Column(
        Family(f"node_network_{key}", kind, f"{text} (/sys/class/net/DEVICE/{file}).", ("device",)),  # type: ignore[arg-type]
        file,
    )


COLUMNS: Final = (
    _column("address_assign_type", "addr_assign_type", "Origin of the address: 0 hardware, 1 random, 2 stolen, 3 set"),
    _column("carrier", "carrier", "1 where the cable or its like is plugged in"),
    _column("carrier_changes_total", "carrier_changes", "Times the carrier came or went"),
    _column("carrier_down_changes_total", "carrier_down_count", "Times the carrier went"),
    _column("carrier_up_changes_total", "carrier_up_count", "Times the carrier came"),
    _column("device_id", "dev_id", "Number that tells devices with one address apart"),
    _column("dormant", "dormant", "1 where the device waits for somebody, such as 802.1X"),
    _column("flags", "flags", "Bits of the device's state, IFF_*"),
    _column("iface_id", "ifindex", "Number of the device"),
    _column("iface_link", "iflink", "Number of the device this one sits on, its own where it sits on none"),
    _column("iface_link_mode", "link_mode", "0 where the device comes up by itself, 1 where somebody must wake it"),
    _column("mtu_bytes", "mtu", "Bytes of the largest packet"),
    _column("name_assign_type", "name_assign_type", "Origin of the name: 1 kernel, 2 predictable, 3 user, 4 renamed"),
    _column("net_dev_group", "netdev_group", "Group of the device"),
    _column("protocol_type", "type", "Hardware type, ARPHRD_*"),
    _column("speed_bytes", "speed", "Bytes per second of the link, negative where it is not known"),
    _column("transmit_queue_length", "tx_queue_len", "Packets that fit the transmit queue"),
)
INFO: Final = Family(
    "node_network_info",
    "gauge",
    "1; what is no number in the labels (/sys/class/net/DEVICE).",
    ("address", "adminstate", "broadcast", "device", "duplex", "ifalias", "operstate"),
)
UP: Final = Family(
    "node_network_up", "gauge", "1 where operstate is up (/sys/class/net/DEVICE/operstate).", ("device",)
)

# what no message of rtnetlink has: these come from files
_SEDENTARY: Final = ("addr_assign_type", "dev_id", "name_assign_type")
_RESTLESS: Final = ("duplex", "speed")
_TEXTS: Final = ("address", "broadcast", "duplex", "ifalias", "operstate")
_FILES: Final = (*(column.file for column in COLUMNS), *_TEXTS)
# after this all is read again, told or not: see NetClass
REFRESH_SECONDS: Final = 60
_BYTES_PER_MEGABIT: Final = 125_000
_IFF_UP: Final = 1
_NUMBER: Final = re.compile(rb"-?[0-9]+|0x[0-9a-f]+")
_MAX_FILE: Final = 4096


class NetClass:
    """State and properties of each device; one that vanishes while it is read has no rows.

    rtnetlink tells of all devices at once, and of their changes: while there is none, the text stays and no file is
    read. It is silent about a speed that changes under a carrier that stays, and about alias, group and link mode of a
    device that is down: those show within REFRESH_SECONDS. Where the tree is not that of our network namespace (a
    container that watches its host), or rtnetlink is shut, each file is read at each scrape.
    """

    name: ClassVar[str] = "netclass"
    families: ClassVar[tuple[Family, ...]] = (*(column.family for column in COLUMNS), INFO, UP)

    def __init__(
        self,
        files: KernelFiles,
        ignored_devices: Regex,
        links: Callable[[], Links] = Links,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = files.path("sys/class/net")
        self._ignored = ignored_devices.pattern
        self._clock = clock
        self._links = _open_links(self._folder, links)
        self._told: dict[str, Attributes] = {}
        self._rest: dict[str, Attributes] = {}
        self._devices: dict[str, Attributes] = {}
        self._is_current = False
        self._block: Block = b""
        self._due = 0.0
        self._stale = True

    @property
    def blocking(self) -> bool:
        """Whether something changed: reading it takes the kernel's one lock of all network devices."""
        if self._links is not None:
            if self._links.changed():  # told once, and kept until it is read: see Collector.blocking
                self._is_current = False
            self._stale = not self._is_current or self._clock() >= self._due
        return self._stale

    def collect(self) -> Block:
        """Return every device's rows. Raises NoData where there is no such folder, KernelError for a strange file."""
        if self._stale:
            self._is_current = False  # until all of it is read
            devices = self._read()
            if devices != self._devices:
                self._block = render(devices)
                self._devices = devices
        self._stale = True
        return self._block

    def _read(self) -> dict[str, Attributes]:
        names = [name for name in device_names(self._folder) if not self._ignored.search(name)]
        devices = self._read_links(names)
        self._is_current = devices is not None
        if devices is None:
            read = {name: read_files(self._folder, name, _FILES) for name in names}
            devices = {name: attributes for name, attributes in read.items() if "ifindex" in attributes}
        return devices

    def _read_links(self, names: list[str]) -> dict[str, Attributes] | None:
        """Return the devices by rtnetlink, None where it does not tell of the devices that the folder shows."""
        if self._links is None:
            return None
        told = {link.name: link.attributes for link in self._links.read() if not self._ignored.search(link.name)}
        if sorted(told) != names:
            return None
        aged = self._clock() >= self._due
        rest = {}
        for name, attributes in told.items():
            if attributes == self._told.get(name) and name in self._rest:
                rest[name] = self._read_again(name, aged=aged)
            else:
                rest[name] = read_files(self._folder, name, ("ifindex", "address", *_SEDENTARY, *_RESTLESS, "flags"))
                if not _is_same(rest[name], attributes):
                    return None
        self._told, self._rest = told, rest
        if aged:
            self._due = self._clock() + REFRESH_SECONDS
        return {name: rest[name] | told[name] for name in names}

    def _read_again(self, name: str, *, aged: bool) -> Attributes:
        """Return the files of a device of which rtnetlink tells no change."""
        doubtful = (*(_RESTLESS if aged else ()), *(() if "flags" in self._told[name] else ("flags",)))
        if not doubtful:
            return self._rest[name]
        kept = {file: text for file, text in self._rest[name].items() if file not in doubtful}
        return kept | read_files(self._folder, name, doubtful)


def _open_links(folder: str, links: Callable[[], Links]) -> Links | None:
    """Return rtnetlink where the folder is the kernel's own: that file system has no blocks, a recorded tree has."""
    try:
        return links() if os.statvfs(folder).f_blocks == 0 else None
    except OSError:
        return None


def _is_same(files: Attributes, told: Attributes) -> bool:
    return files.get("ifindex") == told["ifindex"] and files.get("address", b"") == told["address"]


def device_names(folder: str) -> list[str]:
    """Return the devices, sorted. Raises NoData where there is no such folder, KernelError when it is unreadable."""
    try:
        with os.scandir(folder) as entries:
            # bonding_masters, a plain file, is no device
            return sorted(entry.name for entry in entries if entry.is_symlink() or entry.is_dir())
    except FileNotFoundError as err:
        raise NoData(folder) from err
    except OSError as err:
        raise KernelError(f"{folder}: {err.strerror}") from err


def read_files(folder: str, device: str, names: Iterable[str]) -> Attributes:
    """Return those files of a device that are there and tell; one that refuses is left out. May block.

    Raises KernelError for one that is cut short.
    """
    out: Attributes = {}
    for name in names:
        path = f"{folder}/{device}/{name}"
        text = _read_file(path)
        if text is not None:
            if text and not text.endswith(b"\n"):  # an empty ifalias is no line at all
                raise KernelError(f"{path}: expected a whole line, got {text[:80]!r}")
            out[name] = text.strip()
    return out


def _read_file(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # not in this kernel, or not for us
    try:
        return os.read(fd, _MAX_FILE)
    except OSError:
        return None  # EINVAL, EOPNOTSUPP: the device has no such thing, or not while it is down
    finally:
        os.close(fd)


def render(devices: dict[str, Attributes]) -> Block:
    """Return the rows of these devices. Raises KernelError naming the file whose text is no number."""
    rows: list[tuple[Family, list[tuple[str, ...]]]] = []
    values: list[bytes] = []
    labels = {name: text_of(os.fsencode(name)) for name in devices}
    for family, file in COLUMNS:
        with_file = [name for name, attributes in devices.items() if file in attributes]
        rows.append((family, [(labels[name],) for name in with_file]))
        values += [parse_number(file, name, devices[name][file]) for name in with_file]
    rows.append((INFO, [_info(labels[name], attributes) for name, attributes in devices.items()]))
    values += [b"1"] * len(devices)
    rows.append((UP, [(label,) for label in labels.values()]))
    values += [b"1" if attributes.get("operstate") == b"up" else b"0" for attributes in devices.values()]
    return Layout(rows).fill(values)


def parse_number(file: str, device: str, text: bytes) -> bytes:
    """Return the decimal digits of a file's number; a speed in Mbit/s comes back in bytes per second."""
    if _NUMBER.fullmatch(text) is None:
        raise KernelError(f"sys/class/net/{device}/{file}: expected a number, got {text[:80]!r}")
    if file == "speed":
        return b"%d" % (int(text) * _BYTES_PER_MEGABIT)
    return b"%d" % int(text, 16) if text.startswith(b"0x") else text


def _info(label: str, attributes: Attributes) -> tuple[str, ...]:
    address, broadcast, duplex, alias, state = [text_of(attributes.get(name, b"")) for name in _TEXTS]
    return address, _admin_state(attributes.get("flags")), broadcast, label, duplex, alias, state


def _admin_state(flags: bytes | None) -> str:
    if flags is None or _NUMBER.fullmatch(flags) is None:
        return "unknown"
    return "up" if int(flags, 16 if flags.startswith(b"0x") else 10) & _IFF_UP else "down"
