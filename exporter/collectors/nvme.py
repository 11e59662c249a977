"""NVMe controllers (/sys/class/nvme)."""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_text
from exporter.exposition import Family

INFO: Final = Family(
    "node_nvme_info",
    "gauge",
    "1 for each controller, with its model, firmware and state (/sys/class/nvme/nvme*).",
    ("device", "firmware_revision", "model", "serial", "state"),
)

_ATTRIBUTES: Final = ("firmware_rev", "model", "serial", "state")
_DEVICE: Final = re.compile(r"nvme[0-9]+")


class Nvme(SysfsCollector):
    """What each NVMe controller is, and whether it is live; an attribute that is missing leaves its label empty."""

    name: ClassVar[str] = "nvme"
    families: ClassVar[tuple[Family, ...]] = (INFO,)
    root: ClassVar[str] = "sys/class/nvme"
    asks_drivers: ClassVar[bool] = False

    def samples(self) -> Iterator[Sample]:
        """Yield a row for each controller, none for one that has no answer at all: it went between the two looks."""
        for entry in filter(_DEVICE.fullmatch, list_entries(self._root)):
            values = [read_text(f"{self._root}/{entry}/{attribute}") for attribute in _ATTRIBUTES]
            if values != [None] * len(_ATTRIBUTES):
                yield INFO, (entry, *(value or "" for value in values)), b"1"
