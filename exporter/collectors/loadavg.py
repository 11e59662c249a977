"""Load averages (/proc/loadavg)."""

import re
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFiles

LOAD1: Final = Family("node_load1", "gauge", "Tasks runnable or uninterruptible, averaged over 1 min (/proc/loadavg).")
LOAD5: Final = Family("node_load5", "gauge", "Tasks runnable or uninterruptible, averaged over 5 min (/proc/loadavg).")
LOAD15: Final = Family(
    "node_load15", "gauge", "Tasks runnable or uninterruptible, averaged over 15 min (/proc/loadavg)."
)

_LINE: Final = re.compile(rb"(\d+\.\d\d) (\d+\.\d\d) (\d+\.\d\d) \d+/\d+ \d+\n")


class LoadAvg:
    """Load averages over 1, 5 and 15 minutes, in tasks: the kernel's own digits."""

    name: ClassVar[str] = "loadavg"
    families: ClassVar[tuple[Family, ...]] = (LOAD1, LOAD5, LOAD15)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        self._source = files.open("proc/loadavg", whole=True)
        self._layout = Layout((family, [()]) for family in self.families)

    def collect(self) -> Block:
        """Return the three averages. Raises KernelError when the line is not the kernel's."""
        return self._layout.fill(parse_loadavg(self._source.read()))


def parse_loadavg(text: bytes) -> tuple[bytes, ...]:
    """Return the averages of /proc/loadavg as their own digits: 1, 5, 15 minutes (proc(5))."""
    match = _LINE.fullmatch(text)
    if match is None:
        raise KernelError(f"proc/loadavg: expected three averages, tasks and a pid, got {text[:80]!r}")
    return match.groups()
