"""The exporter's own process, under the names that Prometheus' client libraries share (/proc/self)."""

import os
import re
import resource
import time
from collections.abc import Callable
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout, number
from exporter.kernel import KernelError, KernelFiles

CPU: Final = Family("process_cpu_seconds_total", "counter", "CPU seconds spent by the exporter (clock_gettime(2)).")
MAX_FDS: Final = Family("process_max_fds", "gauge", "Files the exporter may have open (getrlimit(2), RLIMIT_NOFILE).")
OPEN_FDS: Final = Family("process_open_fds", "gauge", "Files the exporter has open (/proc/self/fd).")
RESIDENT: Final = Family("process_resident_memory_bytes", "gauge", "Bytes of memory in use (/proc/self/statm).")
START: Final = Family(
    "process_start_time_seconds", "gauge", "Moment the exporter started, seconds since the epoch (/proc/self/stat)."
)
VIRTUAL: Final = Family("process_virtual_memory_bytes", "gauge", "Bytes of address space in use (/proc/self/statm).")
MAX_VIRTUAL: Final = Family(
    "process_virtual_memory_max_bytes", "gauge", "Bytes of address space allowed (getrlimit(2), RLIMIT_AS)."
)
RECEIVED: Final = Family(
    "process_network_receive_bytes_total",
    "counter",
    "Bytes received by all processes of the exporter's network namespace (/proc/self/net/netstat, InOctets).",
)
SENT: Final = Family(
    "process_network_transmit_bytes_total",
    "counter",
    "Bytes sent by all processes of the exporter's network namespace (/proc/self/net/netstat, OutOctets).",
)

_STATM: Final = re.compile(rb"(\d+) (\d+) \d+ \d+ \d+ \d+ \d+\n")
_BOOT: Final = re.compile(rb"\nbtime (\d+)\n")
# what the client libraries show for "unlimited": the largest 64-bit number
_UNLIMITED: Final = b"18446744073709551615"


class OwnProcess:
    """CPU, memory, files and start of the exporter itself."""

    name: ClassVar[str] = "process"
    families: ClassVar[tuple[Family, ...]] = (
        CPU,
        MAX_FDS,
        OPEN_FDS,
        RESIDENT,
        START,
        VIRTUAL,
        MAX_VIRTUAL,
        RECEIVED,
        SENT,
    )
    blocking: ClassVar[bool] = False

    def __init__(
        self,
        files: KernelFiles,
        cpu_clock: Callable[[], float] = time.process_time,
        limit: Callable[[int], tuple[int, int]] = resource.getrlimit,
    ) -> None:
        self._statm = files.open_own("proc/self/statm", whole=True)
        self._stat = files.open_own("proc/self/stat")
        self._kernel = files.open("proc/stat", whole=True)
        self._netstat = files.open("proc/net/netstat", whole=True)
        self._folder = files.path("proc/self/fd")
        self._cpu_clock = cpu_clock
        self._limit = limit
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._ticks_per_second = os.sysconf("SC_CLK_TCK")
        self._start: bytes | None = None
        self._network_text = b""
        self._network: tuple[bytes, bytes] | None = None
        self._layouts = {
            True: Layout((family, [()]) for family in self.families),
            False: Layout((family, [()]) for family in self.families[:-2]),
        }

    def collect(self) -> Block:
        """Return the rows; without InOctets and OutOctets in netstat there are no rows of network bytes.

        Raises KernelError when another file is not the kernel's.
        """
        virtual, resident = parse_statm(self._statm.read())
        if self._start is None:
            self._start = number(self._read_start())
        network = self._read_network()
        values = (
            number(self._cpu_clock()),
            self._read_limit(resource.RLIMIT_NOFILE),
            number(self._count_files()),
            number(resident * self._page),
            self._start,
            number(virtual * self._page),
            self._read_limit(resource.RLIMIT_AS),
        )
        return self._layouts[network is not None].fill(values + (network or ()))

    def _read_start(self) -> float:
        """Return when we started, seconds since the epoch: read once, since a clock set later moves the boot time."""
        ticks = parse_start(self._stat.read())
        boot = _BOOT.search(self._kernel.read())
        self._stat.close()
        if boot is None:
            raise KernelError("proc/stat: expected btime")
        return int(boot[1]) + ticks / self._ticks_per_second

    def _read_limit(self, which: int) -> bytes:
        limit = self._limit(which)[0]
        return _UNLIMITED if limit == resource.RLIM_INFINITY else number(limit)

    def _count_files(self) -> int:
        try:
            # since Linux 6.2 the folder's size is their number
            return os.stat(self._folder).st_size or len(os.listdir(self._folder)) - 1  # noqa: PTH116, PTH208 -- hot path
        except OSError as err:
            raise KernelError(f"{self._folder}: {err.strerror}") from err

    def _read_network(self) -> tuple[bytes, bytes] | None:
        try:
            text = self._netstat.read()
        except KernelError:
            return None  # no IP in this kernel
        if text != self._network_text:
            self._network = parse_octets(text)
            self._network_text = text
        return self._network


def parse_statm(text: bytes) -> tuple[int, int]:
    """Return size and resident set of /proc/self/statm, in pages (proc(5)). Raises KernelError."""
    match = _STATM.fullmatch(text)
    if match is None:
        raise KernelError(f"proc/self/statm: expected seven numbers, got {text[:80]!r}")
    return int(match[1]), int(match[2])


def parse_start(text: bytes) -> int:
    """Return field 22 of /proc/self/stat: ticks from boot to the start of the process. Raises KernelError."""
    fields = text[text.rfind(b")") + 2 :].split()  # the command before it may hold anything
    if not text.endswith(b"\n") or b")" not in text or len(fields) < 20 or not fields[19].isdigit():
        raise KernelError(f"proc/self/stat: expected a process, got {text[:80]!r}")
    return int(fields[19])


def parse_octets(text: bytes) -> tuple[bytes, bytes] | None:
    """Return InOctets and OutOctets of /proc/net/netstat as their digits, None where the kernel has none (< 2.6.32).

    Raises KernelError when the IpExt lines do not fit each other.
    """
    start = text.find(b"IpExt: ")
    if start < 0:
        return None
    names, _, rest = text[start:].partition(b"\n")
    values, newline, _ = rest.partition(b"\n")
    keys, numbers = names.split(), values.split()
    if not newline or len(keys) != len(numbers) or numbers[0] != b"IpExt:":
        raise KernelError(f"proc/net/netstat: expected two lines of IpExt, got {text[start : start + 80]!r}")
    fields = dict(zip(keys, numbers, strict=True))
    received, sent = fields.get(b"InOctets"), fields.get(b"OutOctets")
    if received is None or sent is None:
        return None
    if not (received + sent).isdigit():
        raise KernelError("proc/net/netstat: expected numbers for InOctets and OutOctets")
    return received, sent
