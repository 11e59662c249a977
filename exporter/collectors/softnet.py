"""Packets as each CPU takes them from the devices (/proc/net/softnet_stat)."""

import re
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles


def _family(key: str, text: str, column: int) -> Family:
    kind = "counter" if key.endswith("_total") else "gauge"
    return Family(
        f"node_softnet_{key}",
        "counter" if kind == "counter" else "gauge",
        f"{text} (/proc/net/softnet_stat, column {column}).",
        ("cpu",),
    )


# net/core/net-procfs.c, softnet_seq_show; the columns count from 1 as in the file, and came one by one
COLUMNS: Final = (
    (0, _family("processed_total", "Packets processed", 1)),
    (1, _family("dropped_total", "Packets dropped because the queue was full", 2)),
    (2, _family("times_squeezed_total", "Times that work was left over when its time was up", 3)),
    (8, _family("cpu_collision_total", "Times that two CPUs wanted to send on one device", 9)),
    (9, _family("received_rps_total", "Times that another CPU woke this one to take packets", 10)),
    (10, _family("flow_limit_count_total", "Packets dropped because one flow had too many", 11)),
    (11, _family("backlog_len", "Packets that wait to be taken", 12)),
)
_MIN_COLUMNS: Final = 9
_CPU_COLUMN: Final = 12
_WIDTH: Final = 9  # eight digits and a blank
_LINE: Final = re.compile(rb"[0-9a-f]{8}(?: [0-9a-f]{8}){8,}")
_RECORD: Final = 256  # a line is 15 numbers, 13 of them before Linux 6.7


class SoftNet:
    """Packets processed, dropped and put off on each CPU. What an old kernel does not count has no rows."""

    name: ClassVar[str] = "softnet"
    families: ClassVar[tuple[Family, ...]] = tuple(family for _, family in COLUMNS)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        self._source = files.open("proc/net/softnet_stat", record=_RECORD)
        self._shape: list[tuple[int, bytes]] = []
        self._lines: list[bytes] = []
        self._columns: list[int] = []
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return every CPU's rows. Raises KernelError when a line is not a CPU's."""
        lines = self._source.read().split(b"\n")
        if lines.pop() or not lines:
            raise KernelError("proc/net/softnet_stat: expected whole lines")
        start = _CPU_COLUMN * _WIDTH
        shape = [(len(line), line[start : start + _WIDTH]) for line in lines]
        if shape != self._shape:
            self._rebuild(shape)
        for index, line in enumerate(lines):
            if line != self._lines[index]:
                row = Layout.row(index, len(lines), len(self._columns))
                self._layout.put(row, parse_cpu(line, self._columns))
                self._lines[index] = line
        return self._layout.render()

    def _rebuild(self, shape: list[tuple[int, bytes]]) -> None:
        widths = {(length + 1) // _WIDTH for length, _ in shape}
        cpus = [_cpu_number(place, cpu) for place, (_, cpu) in enumerate(shape)]
        width = widths.pop()
        if widths or width < _MIN_COLUMNS or len(set(cpus)) != len(cpus):
            raise KernelError("proc/net/softnet_stat: expected long lines of one length, each CPU once")
        columns = [(column, family) for column, family in COLUMNS if column < _known(width)]
        self._layout = Layout.grid([family for _, family in columns], [(str(cpu),) for cpu in cpus])
        self._columns = [column for column, _ in columns]
        self._lines = [b""] * len(cpus)
        self._shape = shape


def _known(width: int) -> int:
    """Return how many columns of a line that wide we know: backlog and CPU came together (Linux 5.10)."""
    return width if width > _CPU_COLUMN else min(width, _CPU_COLUMN - 1)


def _cpu_number(place: int, field: bytes) -> int:
    """Return the CPU of a line by its own column, or by its place where an old kernel has no such column."""
    digits = field.strip()
    if not digits:
        return place
    try:
        return int(digits, 16)
    except ValueError as err:
        raise KernelError(f"proc/net/softnet_stat: expected the number of a CPU, got {field!r}") from err


def parse_cpu(line: bytes, columns: list[int]) -> list[bytes]:
    """Return those columns of one line, in decimal. Raises KernelError naming the line."""
    if _LINE.fullmatch(line) is None:
        raise KernelError(
            f"proc/net/softnet_stat: expected {_MIN_COLUMNS} or more hexadecimal numbers, got {line[:80]!r}"
        )
    fields = line.split(b" ")
    return [b"%d" % int(fields[column], 16) for column in columns]
