"""CPU time per core and mode (/proc/stat)."""

import os
from typing import ClassVar, Final

from exporter.collectors import throttle
from exporter.exposition import Block, Family, Layout, number
from exporter.kernel import KernelError, KernelFiles

SECONDS: Final = Family(
    "node_cpu_seconds_total",
    "counter",
    "Seconds each core spent in each mode; guest time is part of user and nice (/proc/stat, USER_HZ ticks).",
    ("cpu", "mode"),
)
GUEST_SECONDS: Final = Family(
    "node_cpu_guest_seconds_total",
    "counter",
    "Seconds each core spent running virtual machines (/proc/stat, USER_HZ ticks).",
    ("cpu", "mode"),
)

# columns of a cpu line, man proc(5)
MODES: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
GUEST_MODES: Final = ("user", "nice")
IDLE: Final = MODES.index("idle")
_COLUMNS: Final = len(MODES) + len(GUEST_MODES)
# an idle counter that falls by more than this is a core that came back with new counters, not the kernel's jitter
RESET_SECONDS: Final = 3


class Cpu:
    """CPU time in seconds. The kernel's idle and iowait can fall a little: our counters keep their highest value."""

    name: ClassVar[str] = "cpu"
    families: ClassVar[tuple[Family, ...]] = (SECONDS, GUEST_SECONDS, *throttle.FAMILIES)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, ticks_per_second: int | None = None) -> None:
        self._source = files.open("proc/stat", whole=True)
        self._ticks_per_second = ticks_per_second or os.sysconf("SC_CLK_TCK")
        self._cores: list[bytes] = []
        self._lines: list[bytes] = []
        self._ticks: list[list[int]] = []
        self._seconds: list[list[bytes]] = []
        self._layout = Layout(())
        self._throttles = throttle.Throttles(files)

    def collect(self) -> Block:
        """Return every core's row. Raises KernelError when a line is not a core's."""
        lines = cpu_lines(self._source.read())
        cores = [line[: line.find(b" ")] for line in lines]
        if cores != self._cores:
            self._rebuild(cores, lines)
        for index, line in enumerate(lines):
            if line != self._lines[index]:
                self._put(index, line)
        return self._layout.render() + self._throttles.render()

    def _rebuild(self, cores: list[bytes], lines: list[bytes]) -> None:
        for line in lines:
            parse_cpu_line(line)  # an error leaves the counters known so far untouched
        if len(set(cores)) != len(cores) or not all(core[3:].isdigit() for core in cores):
            raise KernelError("proc/stat: expected lines of cores, each once")
        self._throttles.rebuild()
        ticks = dict(zip(self._cores, self._ticks, strict=True))
        seconds = dict(zip(self._cores, self._seconds, strict=True))
        names = [core[3:].decode() for core in cores]
        self._layout = Layout(
            (
                (SECONDS, [(name, mode) for name in names for mode in MODES]),
                (GUEST_SECONDS, [(name, mode) for name in names for mode in GUEST_MODES]),
            )
        )
        self._cores = cores
        self._lines = [b""] * len(cores)
        self._ticks = [ticks.get(core, [0] * _COLUMNS) for core in cores]
        self._seconds = [seconds.get(core, [b"0"] * _COLUMNS) for core in cores]

    def _put(self, index: int, line: bytes) -> None:
        ticks, last = parse_cpu_line(line), self._ticks[index]
        if last[IDLE] - ticks[IDLE] <= RESET_SECONDS * self._ticks_per_second:
            ticks = list(map(max, ticks, last))
        self._ticks[index] = ticks
        self._lines[index] = line
        values = self._seconds[index]
        for column, tick in enumerate(ticks):
            if tick != last[column]:  # most modes stand still: to render a float is what costs
                values[column] = number(tick / self._ticks_per_second)
        first_guest = len(self._cores) * len(MODES) + index * len(GUEST_MODES)
        self._layout.put(Layout.span(index * len(MODES), len(MODES)), values[: len(MODES)])
        self._layout.put(Layout.span(first_guest, len(GUEST_MODES)), values[len(MODES) :])


def cpu_lines(text: bytes) -> list[bytes]:
    """Return the `cpuN ...` lines of /proc/stat, without the sum of all cores.

    Raises KernelError unless the whole part down to the `intr` line is there: a number cut short looks like a number.
    """
    end = text.find(b"\nintr ")
    lines = text[: max(end, 0)].split(b"\n")[1:]
    if end < 0 or not text.startswith(b"cpu ") or not lines:
        raise KernelError(f"proc/stat: expected cpu lines and an intr line, got {text[:80]!r}")
    return lines


def parse_cpu_line(line: bytes) -> list[int]:
    """Return the ten counters of one core, in ticks: MODES, then GUEST_MODES (since Linux 2.6.33).

    Raises KernelError when there are fewer or one is no plain number.
    """
    core, *fields = line.split() or [b""]
    fields = fields[:_COLUMNS]
    if not (core[:3] == b"cpu" and core[3:].isdigit() and len(fields) == _COLUMNS and b"".join(fields).isdigit()):
        raise KernelError(f"proc/stat: expected cpuN and {_COLUMNS} counters, got {line[:80]!r}")
    return list(map(int, fields))
