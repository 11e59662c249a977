"""Network device counters (/proc/net/dev)."""

from typing import ClassVar, Final

from exporter.collectors.devices import DeviceFilter
from exporter.exposition import Block, Family, Layout, text_of
from exporter.kernel import KernelError, KernelFile, KernelFiles

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
# a line is a name of 15 characters and 16 numbers of up to 20 digits
_RECORD: Final = 400


class NetDev:
    """Counters of each network device of this namespace: the kernel's own digits."""

    name: ClassVar[str] = "netdev"
    families: ClassVar[tuple[Family, ...]] = (*COUNTERS, NOHANDLER)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, wanted: DeviceFilter) -> None:
        self._files = files
        self._filter = wanted
        self._source = files.open("proc/net/dev", record=_RECORD)
        self._devices: list[bytes] | None = None
        self._lines: list[bytes] = []
        self._wanted: list[int] = []
        self._layout = Layout(())
        self._nohandler: list[KernelFile | None] = []
        self._nohandler_slots: list[int] = []
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
                values = parse_device(line)
                self._put_unhandled(row)
                self._layout.put(Layout.row(row, len(self._wanted), len(COUNTERS)), values)
                self._lines[row] = line
        return self._layout.render() + self._nohandler_layout.render()

    def _rebuild(self, devices: list[bytes]) -> None:
        names = [text_of(device[:-1].strip()) for device in devices]
        self._devices = None  # an error below must not leave lines that belong to no layout
        if not all(names):
            raise KernelError("proc/net/dev: expected the name of a device in each line")
        # one that came or went while we read may be there twice: its last line counts
        last = {name: index for index, name in enumerate(names)}
        wanted = [index for name, index in last.items() if self._filter.wants(name)]
        self._wanted = wanted
        self._lines = [b""] * len(wanted)
        self._layout = Layout.grid(COUNTERS, [(names[index],) for index in wanted])
        self._devices = devices
        self._open_nohandler([names[index] for index in wanted])

    def _open_nohandler(self, names: list[str]) -> None:
        self._nohandler = [self._counter_file(name) for name in names]
        present = [(name,) for name, file in zip(names, self._nohandler, strict=True) if file is not None]
        self._nohandler_layout = Layout([(NOHANDLER, present)])
        slots = iter(range(len(present)))
        self._nohandler_slots = [next(slots) if file is not None else -1 for file in self._nohandler]

    def _counter_file(self, name: str) -> KernelFile | None:
        if "/" in name or "\0" in name:
            return None
        file = self._files.open_own(f"sys/class/net/{name}/statistics/rx_nohandler", whole=True)
        return None if _read_counter(file) is None else file

    def _put_unhandled(self, row: int) -> None:
        """Read what no protocol wanted: only where the device's line moved, since such a packet counts there first."""
        file = self._nohandler[row]
        if file is None:
            return
        value = _read_counter(file)
        if value is None:  # the device went between the two reads: the next scrape has a new list
            self._devices = None
            self._nohandler = [None] * len(self._nohandler)
            self._nohandler_layout = Layout(())
            return
        self._nohandler_layout.put_one(self._nohandler_slots[row], value)


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
