"""Pressure stall information: time that tasks waited for a resource (/proc/pressure)."""

import re
import time
from collections.abc import Callable
from typing import ClassVar, Final, NamedTuple

from exporter.collector import NoData
from exporter.collectors.optional import BuiltInFile
from exporter.exposition import Block, Family, Layout, number
from exporter.kernel import KernelError, KernelFiles


class _Total(NamedTuple):
    """One family, and the line of /proc/pressure/RESOURCE that has its value."""

    family: Family
    resource: str
    line: str
    """`some` or `full`: at least one task waited, or all of them did."""


def _total(resource: str, line: str, what: str) -> _Total:
    key = "waiting" if line == "some" else "stalled"
    family = Family(
        f"node_pressure_{resource}_{key}_seconds_total", "counter", f"{what} (/proc/pressure/{resource}, {line})."
    )
    return _Total(family, resource, line)


# a whole machine never lacks the CPU: its full line, there since Linux 5.13, is 0
TOTALS: Final = (
    _total("cpu", "some", "Seconds in which a task waited for a CPU"),
    _total("io", "some", "Seconds in which a task waited for I/O"),
    _total("io", "full", "Seconds in which every task that could run waited for I/O"),
    _total("memory", "some", "Seconds in which a task waited for memory"),
    _total("memory", "full", "Seconds in which every task that could run waited for memory"),
    _total("irq", "full", "Seconds in which interrupts held up the task that ran"),
)
_AVERAGES: Final = rb"%s avg10=\d+\.\d\d avg60=\d+\.\d\d avg300=\d+\.\d\d "
_SOME: Final = _AVERAGES % b"some" + rb"total=(\d+)\n"
_FULL: Final = _AVERAGES % b"full" + rb"total=(\d+)\n"
# their groups are the values of TOTALS
_FILES: Final = {
    "cpu": re.compile(_SOME + rb"(?:" + _AVERAGES % b"full" + rb"total=\d+\n)?"),
    "io": re.compile(_SOME + _FULL),
    "memory": re.compile(_SOME + _FULL),
    "irq": re.compile(_FULL),
}
_MICROSECONDS: Final = 1e6


class Pressure:
    """Time lost for want of CPU, I/O and memory, and to interrupts (Linux 6.1, CONFIG_IRQ_TIME_ACCOUNTING)."""

    name: ClassVar[str] = "pressure"
    families: ClassVar[tuple[Family, ...]] = tuple(total.family for total in TOTALS)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = [
            (resource, BuiltInFile(files.open(f"proc/pressure/{resource}", whole=True), clock)) for resource in _FILES
        ]
        self._present: list[str] = []
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return the rows of each resource that this kernel tells of.

        Raises NoData where it tells of none (before Linux 4.20, psi=0), KernelError when a file is not the kernel's.
        """
        present: list[str] = []
        totals: list[bytes] = []
        for resource, file in self._sources:
            text = file.read()
            if text is not None:
                present.append(resource)
                totals += parse_pressure(resource, text)
        if not present:
            raise NoData("no pressure stall information")
        if present != self._present:
            self._layout = Layout((total.family, [()]) for total in TOTALS if total.resource in present)
            self._present = present
        return self._layout.fill(totals)


def parse_pressure(resource: str, text: bytes) -> list[bytes]:
    """Return the totals of one resource in seconds, in the order of TOTALS (Documentation/accounting/psi.rst).

    Raises KernelError when a line is not the kernel's or one is missing.
    """
    match = _FILES[resource].fullmatch(text)
    if match is None:
        raise KernelError(f"proc/pressure/{resource}: expected lines of averages and totals, got {text[:80]!r}")
    return [number(int(value) / _MICROSECONDS) for value in match.groups()]
