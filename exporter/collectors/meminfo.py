"""Memory (/proc/meminfo)."""

import re
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

_LINE: Final = re.compile(rb"([A-Za-z0-9_()]+): +(\d+)( kB)?")
_DIGITS_AND_BLANKS: Final = b"0123456789 "

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
        self._shape: bytes | None = None
        self._lines: set[bytes] = set()
        self._slots: dict[bytes, int] = {}
        self._values: list[bytes] = []
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return every field. Raises KernelError naming the first line that is not `key: number [kB]`."""
        text = self._source.read()
        # without its numbers the file is the same as long as its fields are
        if text.translate(None, _DIGITS_AND_BLANKS) != self._shape or not self._put_changed(text):
            self._rebuild(text)
        return self._layout.render()

    def _put_changed(self, text: bytes) -> bool:
        """Put the lines that are new; False for one that is no field's after all."""
        lines = set(text.split(b"\n"))
        changed = lines - self._lines
        try:
            for line in changed:
                key, _, value = line.partition(b":")
                number = value.removesuffix(b" kB")
                unit = 1 if number is value else 1024
                self._values[self._slots[key]] = b"%d" % (int(number) * unit)
        except (KeyError, ValueError):
            return False
        if changed:
            self._layout.fill(self._values)
            self._lines = lines
        return True

    def _rebuild(self, text: bytes) -> None:
        self._shape = None  # an error below leaves nothing half built
        lines = text.split(b"\n")
        if lines.pop():  # the last line ends with a newline, or was cut short
            raise KernelError(f"proc/meminfo: cut short at {len(lines)} lines")
        fields = [parse_line(line) for line in lines]
        families = [family_of(key.decode(), in_bytes=bool(unit)) for key, _, unit in fields]
        if not fields or len({family.name for family in families}) != len(fields):
            raise KernelError("proc/meminfo: expected fields, each once")
        self._values = [value for _, value, _ in fields]
        self._layout = Layout((family, [()]) for family in families)
        self._layout.fill(self._values)
        self._slots = {key: slot for slot, (key, _, _) in enumerate(fields)}
        self._lines = set(text.split(b"\n"))
        self._shape = text.translate(None, _DIGITS_AND_BLANKS)


def parse_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Return key, value and unit (` kB` or nothing) of one line; a value in kB comes back in bytes.

    Raises KernelError naming the line.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise KernelError(f"proc/meminfo: expected `key: number [kB]`, got {line[:80]!r}")
    key, value, unit = match.groups(b"")
    return key, b"%d" % (int(value) * 1024) if unit else value, unit
