"""What the scheduler counts per CPU (/proc/schedstat)."""

import re
import time
from collections.abc import Callable
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.collectors.optional import BuiltInFile
from exporter.exposition import Block, Family, Layout, number
from exporter.kernel import KernelError, KernelFiles

RUNNING: Final = Family(
    "node_schedstat_running_seconds_total",
    "counter",
    "Seconds for which tasks ran on a CPU (/proc/schedstat, 7th number).",
    ("cpu",),
)
WAITING: Final = Family(
    "node_schedstat_waiting_seconds_total",
    "counter",
    "Seconds for which tasks that could run waited for a CPU (/proc/schedstat, 8th number).",
    ("cpu",),
)
TIMESLICES: Final = Family(
    "node_schedstat_timeslices_total", "counter", "Turns of tasks on a CPU (/proc/schedstat, 9th number).", ("cpu",)
)
_HEADING: Final = re.compile(rb"version \d+\ntimestamp \d+\n")
# version 15, Linux 2.6.30, brought these nine numbers; older versions have twelve (Documentation/scheduler)
_CPU: Final = re.compile(rb"cpu(\d+)(?: \d+){6} (\d+) (\d+) (\d+)")
_NANOSECONDS: Final = 1e9


class SchedStat:
    """Time that tasks ran and waited on each CPU, in seconds."""

    name: ClassVar[str] = "schedstat"
    families: ClassVar[tuple[Family, ...]] = (RUNNING, WAITING, TIMESLICES)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = BuiltInFile(files.open("proc/schedstat"), clock)
        self._cpus: list[bytes] = []
        self._lines: list[bytes] = []
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return every CPU's rows. Raises NoData without CONFIG_SCHEDSTATS, KernelError for a strange line."""
        text = self._source.read()
        if text is None:
            raise NoData("no scheduler statistics")
        lines = cpu_lines(text)
        cpus = [line[: line.find(b" ")] for line in lines]
        if cpus != self._cpus:
            self._rebuild(cpus)
        for index, line in enumerate(lines):
            if line != self._lines[index]:
                self._layout.put(Layout.row(index, len(cpus), len(self.families)), parse_cpu(line))
                self._lines[index] = line
        return self._layout.render()

    def _rebuild(self, cpus: list[bytes]) -> None:
        if len(set(cpus)) != len(cpus):
            raise KernelError("proc/schedstat: expected lines of CPUs, each once")
        self._layout = Layout.grid(self.families, [(cpu[3:].decode("ascii", "replace"),) for cpu in cpus])
        self._lines = [b""] * len(cpus)
        self._cpus = cpus


def cpu_lines(text: bytes) -> list[bytes]:
    """Return the `cpuN ...` lines, without those of scheduling domains. Raises KernelError when it is cut short."""
    if not (_HEADING.match(text) and text.endswith(b"\n")):
        raise KernelError(f"proc/schedstat: expected version, timestamp and whole lines, got {text[:80]!r}")
    lines = [line for line in text.split(b"\n") if line.startswith(b"cpu")]
    if not lines:
        raise KernelError("proc/schedstat: expected a line for each CPU")
    return lines


def parse_cpu(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Return seconds running, seconds waiting and turns of one CPU. Raises KernelError naming the line."""
    match = _CPU.fullmatch(line)
    if match is None:
        raise KernelError(f"proc/schedstat: expected cpuN and nine numbers, got {line[:80]!r}")
    _, running, waiting, turns = match.groups()
    return number(int(running) / _NANOSECONDS), number(int(waiting) / _NANOSECONDS), turns
