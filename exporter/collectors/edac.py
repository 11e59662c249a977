"""Memory errors that the memory controllers saw (/sys/devices/system/edac/mc)."""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_count
from exporter.exposition import Family

CORRECTABLE: Final = Family(
    "node_edac_correctable_errors_total",
    "counter",
    "Memory errors corrected (/sys/devices/system/edac/mc/mc*/ce_count).",
    ("controller",),
)
UNCORRECTABLE: Final = Family(
    "node_edac_uncorrectable_errors_total",
    "counter",
    "Memory errors that could not be corrected (/sys/devices/system/edac/mc/mc*/ue_count).",
    ("controller",),
)
CSROW_CORRECTABLE: Final = Family(
    "node_edac_csrow_correctable_errors_total",
    "counter",
    "Memory errors corrected, by row of chips where it is known (/sys/devices/system/edac/mc/mc*/csrow*/ce_count).",
    ("controller", "csrow"),
)
CSROW_UNCORRECTABLE: Final = Family(
    "node_edac_csrow_uncorrectable_errors_total",
    "counter",
    "Memory errors not corrected, by row of chips where it is known (/sys/devices/system/edac/mc/mc*/csrow*/ue_count).",
    ("controller", "csrow"),
)

_CONTROLLER: Final = re.compile(r"mc([0-9]+)")
_ROW: Final = re.compile(r"csrow([0-9]+)")


class Edac(SysfsCollector):
    """Memory errors per controller and row: the kernel's own digits, from its memory."""

    name: ClassVar[str] = "edac"
    families: ClassVar[tuple[Family, ...]] = (CORRECTABLE, UNCORRECTABLE, CSROW_CORRECTABLE, CSROW_UNCORRECTABLE)
    root: ClassVar[str] = "sys/devices/system/edac/mc"
    asks_drivers: ClassVar[bool] = False
    needs_root: ClassVar[bool] = False

    def samples(self) -> Iterator[Sample]:
        """Yield the controllers' rows. Raises KernelError naming the file that holds no count."""
        for entry in list_entries(self._root):
            match = _CONTROLLER.fullmatch(entry)
            if match is not None:
                yield from _controller(f"{self._root}/{entry}", match[1])


def _controller(folder: str, number: str) -> Iterator[Sample]:
    counts: list[tuple[Family, tuple[str, ...], str]] = [
        (CORRECTABLE, (number,), "ce_count"),
        (UNCORRECTABLE, (number,), "ue_count"),
        (CSROW_CORRECTABLE, (number, "unknown"), "ce_noinfo_count"),
        (CSROW_UNCORRECTABLE, (number, "unknown"), "ue_noinfo_count"),
    ]
    for entry in list_entries(folder):
        match = _ROW.fullmatch(entry)
        if match is not None:
            counts.append((CSROW_CORRECTABLE, (number, match[1]), f"{entry}/ce_count"))
            counts.append((CSROW_UNCORRECTABLE, (number, match[1]), f"{entry}/ue_count"))
    for family, labels, file in counts:
        count = read_count(f"{folder}/{file}")
        if count is not None:
            yield family, labels, count
