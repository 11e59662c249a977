"""Network device counters (/proc/net/dev)."""

from collections.abc import Sequence
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout, text_of
from exporter.kernel import KernelError, KernelFile, KernelFiles
from exporter.settings.exporter import NetdevSettings

_COLUMNS: Final = (
    ("receive_bytes", "Bytes received"),
    ("receive_packets", "Packets received"),
    ("receive_errs", "Packets received with an error"),
    ("receive_drop", "Packets received and dropped"),
    ("receive_fifo", "Receive ring buffer overruns"),
    ("receive_frame", "Framing errors of packets received"),
    ("receive_compressed", "Compressed packets received"),
    ("receive_multicast", "Multicast frames received"),
    ("transmit_bytes", "Bytes sent"),
    ("transmit_packets", "Packets sent"),
    ("transmit_errs", "Packets not sent because of an error"),
    ("transmit_drop", "Packets to send that were dropped"),
    ("transmit_fifo", "Transmit ring buffer underruns"),
    ("transmit_colls", "Collisions seen on the device"),
    ("transmit_carrier", "Losses of carrier while sending"),
    ("transmit_compressed", "Compressed packets sent"),
)
COUNTERS: Final = tuple(
    Family(f"node_network_{key}_total", "counter", f"{text} (/proc/net/dev).", ("device",)) for key, text in _COLUMNS
)
NOHANDLER: Final = Family(
    "node_network_receive_nohandler_total",
    "counter",
    "Packets received that no protocol wanted (/sys/class/net/DEVICE/statistics/rx_nohandler, since Linux 4.6).",
    ("device",),
)
# net/core/net-procfs.c, unchanged since Linux 2.2: another heading would mean other columns
_HEADING: Final = (
    b"Inter-|   Receive                                                |  Transmit\n"
    b" face |bytes    packets errs drop fifo frame compressed multicast"
    b"|bytes    packets errs drop fifo colls carrier compressed\n"
)


class NetDev:
    """Counters of each network device of this namespace: the kernel's own digits."""

    name: ClassVar[str] = "netdev"
    families: ClassVar[tuple[Family, ...]] = (*COUNTERS, NOHANDLER)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, settings: NetdevSettings) -> None:
        self._files = files
        self._settings = settings
        self._source = files.open("proc/net/dev")
        self._devices: list[bytes] = []
        self._lines: list[bytes] = []
        self._wanted: list[int] = []
        self._layout = Layout(())
        self._nohandler: list[KernelFile] = []
        self._nohandler_last: Sequence[bytes | None] = ()
        self._nohandler_layout = Layout(())

    def collect(self) -> Block:
        """Return every device's rows. Raises KernelError when a line is not a device's."""
        lines = device_lines(self._source.read())
        devices = [line[: line.find(b":") + 1] for line in lines]
        if devices != self._devices:
            self._rebuild(devices)
        for row, index in enumerate(self._wanted):
            line = lines[index]
            if line != self._lines[row]:
                self._layout.put(Layout.row(row, len(self._wanted), len(COUNTERS)), parse_device(line))
                self._lines[row] = line
        return self._layout.render() + self._unhandled()

    def _rebuild(self, devices: list[bytes]) -> None:
        names = [text_of(device[:-1].strip()) for device in devices]
        self._devices = []  # an error below must not leave lines that belong to no layout
        wanted = [index for index, name in enumerate(names) if self._is_wanted(name)]
        self._wanted = wanted
        self._lines = [b""] * len(wanted)
        self._layout = Layout.grid(COUNTERS, [(names[index],) for index in wanted])
        self._devices = devices
        for file in self._nohandler:
            file.close()
        self._open_nohandler([names[index] for index in wanted])

    def _is_wanted(self, name: str) -> bool:
        include, exclude = self._settings.device_include, self._settings.device_exclude
        if include is not None:
            return include.pattern.fullmatch(name) is not None
        return exclude is None or exclude.pattern.fullmatch(name) is None

    def _open_nohandler(self, names: list[str]) -> None:
        files = {name: self._files.open_own(f"sys/class/net/{name}/statistics/rx_nohandler") for name in names}
        self._nohandler = []
        present = []
        for name, file in files.items():
            if "/" not in name and _read_counter(file) is not None:
                present.append((name,))
                self._nohandler.append(file)
        self._nohandler_last = ()
        self._nohandler_layout = Layout([(NOHANDLER, present)])

    def _unhandled(self) -> Block:
        values = [_read_counter(file) for file in self._nohandler]
        if values != self._nohandler_last:
            if None in values:  # a device went between the two reads: the next scrape has a new list
                self._devices = []
                return b""
            known = [value for value in values if value is not None]
            self._nohandler_last = known
            return self._nohandler_layout.fill(known)
        return self._nohandler_layout.render()


def _read_counter(file: KernelFile) -> bytes | None:
    """Return the digits of a one-line counter file, None where there is none or it holds something else."""
    try:
        text = file.read()
    except KernelError:
        return None
    return text[:-1] if text.endswith(b"\n") and text[:-1].isdigit() else None


def device_lines(text: bytes) -> list[bytes]:
    """Return the devices' lines of /proc/net/dev. Raises KernelError when heading or end is not the kernel's."""
    if not (text.startswith(_HEADING) and text.endswith(b"\n")):
        raise KernelError(f"proc/net/dev: expected the kernel's heading and whole lines, got {text[:80]!r}")
    return text[len(_HEADING) :].splitlines()


def parse_device(line: bytes) -> list[bytes]:
    """Return the 16 counters of one device as their own digits. Raises KernelError naming the line."""
    values = line[line.find(b":") + 1 :].split()
    if len(values) != len(COUNTERS) or not b"".join(values).isdigit():
        raise KernelError(f"proc/net/dev: expected a device and {len(COUNTERS)} counters, got {line[:80]!r}")
    return values
