"""Counters of the whole kernel (/proc/stat)."""

import re
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

INTR: Final = Family("node_intr_total", "counter", "Interrupts serviced (/proc/stat, intr).")
SWITCHES: Final = Family("node_context_switches_total", "counter", "Context switches (/proc/stat, ctxt).")
FORKS: Final = Family("node_forks_total", "counter", "Processes and threads started (/proc/stat, processes).")
BOOT: Final = Family("node_boot_time_seconds", "gauge", "Moment of boot, seconds since the epoch (/proc/stat, btime).")
RUNNING: Final = Family("node_procs_running", "gauge", "Tasks in runnable state (/proc/stat, procs_running).")
BLOCKED: Final = Family("node_procs_blocked", "gauge", "Tasks blocked on I/O (/proc/stat, procs_blocked).")

# intr goes on with a column per interrupt; the order of the lines is fixed (fs/proc/stat.c)
_TAIL: Final = re.compile(
    rb"\nintr (\d+)(?: [^\n]*)?\nctxt (\d+)\nbtime (\d+)\nprocesses (\d+)\nprocs_running (\d+)\nprocs_blocked (\d+)\n"
)


class Stat:
    """Interrupts, context switches, forks, boot time, running and blocked tasks: the kernel's own digits."""

    name: ClassVar[str] = "stat"
    families: ClassVar[tuple[Family, ...]] = (INTR, SWITCHES, BOOT, FORKS, RUNNING, BLOCKED)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        self._source = files.open("proc/stat", whole=True)
        self._layout = Layout((family, [()]) for family in self.families)

    def collect(self) -> Block:
        """Return the six values. Raises KernelError when one is missing."""
        return self._layout.fill(parse_stat(self._source.read()))


def parse_stat(text: bytes) -> tuple[bytes, ...]:
    """Return intr, ctxt, btime, processes, procs_running, procs_blocked of /proc/stat as their own digits."""
    start = text.find(b"\nintr ")
    match = _TAIL.match(text, start) if start >= 0 else None
    if match is None:
        raise KernelError(f"proc/stat: expected intr, ctxt, btime, processes, procs_*, got {text[-80:]!r}")
    return match.groups()
