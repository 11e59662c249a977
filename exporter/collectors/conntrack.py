"""Connection tracking of the packet filter (/proc/sys/net/netfilter, /proc/net/stat/nf_conntrack)."""

import re
from collections.abc import Sequence
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.collectors.optional import read_optional
from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

_FOLDER: Final = "proc/sys/net/netfilter"
_STATISTICS: Final = "proc/net/stat/nf_conntrack"
ENTRIES: Final = Family(
    "node_nf_conntrack_entries", "gauge", f"Connections in the table (/{_FOLDER}/nf_conntrack_count)."
)
LIMIT: Final = Family(
    "node_nf_conntrack_entries_limit",
    "gauge",
    f"Connections that the table holds at most (/{_FOLDER}/nf_conntrack_max).",
)


def _family(column: str, text: str) -> Family:
    # they only rise, and are gauges all the same: that is node_exporter's contract
    return Family(f"node_nf_conntrack_stat_{column}", "gauge", f"{text}, all CPUs (/{_STATISTICS}, {column}).")


COLUMNS: Final = {
    b"found": _family("found", "Searches of the table that found an entry"),
    b"invalid": _family("invalid", "Packets that could not be tracked"),
    b"ignore": _family("ignore", "Packets that belonged to a connection already"),
    b"insert": _family("insert", "Entries put into the table"),
    b"insert_failed": _family("insert_failed", "Entries that could not be put into the table"),
    b"drop": _family("drop", "Packets dropped because tracking failed"),
    b"early_drop": _family("early_drop", "Entries dropped to make room for new ones"),
    b"search_restart": _family("search_restart", "Searches begun anew because the table was resized"),
}
_LINE: Final = re.compile(rb"[0-9a-f]{8,}(?: +[0-9a-f]{8,})*")
_RECORD: Final = 320  # a line is 17 numbers, each of up to 16 digits on some kernels


class Conntrack:
    """Entries of the table, their limit, and what each CPU counted, summed up.

    A kernel without CONFIG_NF_CONNTRACK_PROCFS has the first two only.
    """

    name: ClassVar[str] = "conntrack"
    families: ClassVar[tuple[Family, ...]] = (ENTRIES, LIMIT, *COLUMNS.values())
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        self._count = files.open(f"{_FOLDER}/nf_conntrack_count", whole=True)
        self._max = files.open(f"{_FOLDER}/nf_conntrack_max", whole=True)
        self._statistics = files.open(_STATISTICS, record=_RECORD)
        self._table = Layout([(ENTRIES, [()]), (LIMIT, [()])])
        self._heading: bytes | None = None
        self._wanted: list[tuple[int, Family]] = []
        self._lines: list[bytes] = []
        self._counters = Layout(())

    def collect(self) -> Block:
        """Return the rows. Raises NoData where nothing is tracked, KernelError when a file is not the kernel's."""
        count = read_optional(self._count)
        if count is None:
            raise NoData("no connection tracking")
        values = parse_number("nf_conntrack_count", count), parse_number("nf_conntrack_max", self._max.read())
        text = read_optional(self._statistics)
        counters = b"" if text is None else self._sum(text)
        return self._table.fill(values) + counters

    def _sum(self, text: bytes) -> Block:
        heading, lines = split_statistics(text)
        if heading != self._heading:
            names = heading.split()
            self._wanted = [(names.index(name), family) for name, family in COLUMNS.items() if name in names]
            self._counters = Layout((family, [()]) for _, family in self._wanted)
            self._lines = []
            self._heading = heading
        if lines != self._lines:
            sums = sum_columns(len(heading.split()), lines, [index for index, _ in self._wanted])
            self._counters.fill([b"%d" % value for value in sums])
            self._lines = lines
        return self._counters.render()


def parse_number(file: str, text: bytes) -> bytes:
    """Return the digits of a file of one number. Raises KernelError when it is no whole line with a number."""
    digits = text[:-1]
    if not (text.endswith(b"\n") and digits.isdigit()):
        raise KernelError(f"{_FOLDER}/{file}: expected a number, got {text[:80]!r}")
    return digits


def split_statistics(text: bytes) -> tuple[bytes, list[bytes]]:
    """Return the heading and a line for each CPU, without its first column.

    That one, `entries`, is the whole table's and moves all the time. Raises KernelError when the file is cut short.
    """
    heading, *lines = text.split(b"\n")
    if not heading.startswith(b"entries ") or not lines or lines.pop() or not lines:
        raise KernelError(f"{_STATISTICS}: expected a heading and a line for each CPU, got {text[:80]!r}")
    return heading, [line.partition(b" ")[2].lstrip() for line in lines]


def sum_columns(width: int, lines: Sequence[bytes], columns: Sequence[int]) -> list[int]:
    """Return the sums of those columns over all lines, which hold `width` numbers less the first one.

    Raises KernelError naming a line that does not.
    """
    sums = [0] * len(columns)
    for line in lines:
        fields = line.split()
        if len(fields) != width - 1 or _LINE.fullmatch(line) is None:
            raise KernelError(f"{_STATISTICS}: expected {width} hexadecimal numbers, got {line[:80]!r} after the first")
        sums = [total + int(fields[column - 1], 16) for total, column in zip(sums, columns, strict=True)]
    return sums
