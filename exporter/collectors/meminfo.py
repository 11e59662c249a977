"""Memory (/proc/meminfo)."""

import re
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

_LINE: Final = re.compile(rb"([A-Za-z0-9_()]+): +(\d+)( kB)?")

# the fields of Linux 6.18 (fs/proc/meminfo.c, mm/hugetlb.c, arch/*/mm); a field of another kernel is exposed likewise
_BYTES: Final = tuple(
    """
    MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Active_anon Inactive_anon Active_file
    Inactive_file Unevictable Mlocked HighTotal HighFree LowTotal LowFree MmapCopy SwapTotal SwapFree Zswap Zswapped
    Dirty Writeback AnonPages Mapped Shmem KReclaimable Slab SReclaimable SUnreclaim KernelStack ShadowCallStack
    PageTables SecPageTables NFS_Unstable Bounce WritebackTmp CommitLimit Committed_AS VmallocTotal VmallocUsed
    VmallocChunk Percpu EarlyMemtestBad HardwareCorrupted AnonHugePages ShmemHugePages ShmemPmdMapped FileHugePages
    FilePmdMapped CmaTotal CmaFree Unaccepted Balloon GPUActive GPUReclaim Hugepagesize Hugetlb DirectMap4k
    DirectMap2M DirectMap4M DirectMap1G
    """.split()  # noqa: SIM905 -- one quoted word per line would be four screens
)
_COUNTS: Final = ("HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp")


def family_of(field: str, *, in_bytes: bool) -> Family:
    """Return the family of one field; parentheses become an underscore as in node_exporter."""
    key = field.replace("(", "_").replace(")", "")
    unit, suffix = ("Bytes", "_bytes") if in_bytes else ("Number of pages", "")
    return Family(f"node_memory_{key}{suffix}", "gauge", f"{unit} of memory (/proc/meminfo, {field}).")


class MemInfo:
    """Every field of /proc/meminfo, in bytes where the kernel counts kB."""

    name: ClassVar[str] = "meminfo"
    families: ClassVar[tuple[Family, ...]] = (
        *(family_of(field, in_bytes=True) for field in _BYTES),
        *(family_of(field, in_bytes=False) for field in _COUNTS),
    )
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        self._source = files.open("proc/meminfo", whole=True)
        self._lines: list[bytes] = []
        self._keys: list[tuple[bytes, bytes]] = []
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return every field. Raises KernelError naming the first line that is not `key: number [kB]`."""
        lines = self._source.read().split(b"\n")
        if lines.pop():  # the last line ends with a newline, or was cut short
            raise KernelError(f"proc/meminfo: cut short at {len(lines)} lines")
        if not lines or len(lines) != len(self._lines):
            self._rebuild(lines)
        for index, (line, last) in enumerate(zip(lines, self._lines, strict=True)):
            if line is not last and line != last:
                self._put(index, line, lines)
        return self._layout.render()

    def _put(self, index: int, line: bytes, lines: list[bytes]) -> None:
        key, value, unit = parse_line(line)
        if (key, unit) != self._keys[index]:
            self._rebuild(lines)
        self._layout.put_one(index, value)
        self._lines[index] = line

    def _rebuild(self, lines: list[bytes]) -> None:
        fields = [parse_line(line) for line in lines]
        self._lines, self._keys = [], []  # an error below leaves nothing half built
        families = [family_of(key.decode(), in_bytes=bool(unit)) for key, _, unit in fields]
        if not fields or len({family.name for family in families}) != len(fields):
            raise KernelError("proc/meminfo: expected fields, each once")
        layout = Layout((family, [()]) for family in families)
        layout.fill([value for _, value, _ in fields])
        self._layout = layout
        self._lines, self._keys = list(lines), [(key, unit) for key, _, unit in fields]


def parse_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Return key, value and unit (` kB` or nothing) of one line; a value in kB comes back in bytes.

    Raises KernelError naming the line.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise KernelError(f"proc/meminfo: expected `key: number [kB]`, got {line[:80]!r}")
    key, value, unit = match.groups(b"")
    return key, b"%d" % (int(value) * 1024) if unit else value, unit
