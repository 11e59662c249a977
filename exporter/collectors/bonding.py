"""Bonded network devices (/sys/class/net/*/bonding)."""

import os
from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collectors.sysfs import Sample, SysfsCollector, read_words
from exporter.exposition import Family
from exporter.kernel import KernelError, KernelFiles

SLAVES: Final = Family(
    "node_bonding_slaves", "gauge", "Devices in the bond (/sys/class/net/MASTER/bonding/slaves).", ("master",)
)
ACTIVE: Final = Family(
    "node_bonding_active",
    "gauge",
    "Devices in the bond whose link is up (/sys/class/net/MASTER/lower_*/bonding_slave/mii_status).",
    ("master",),
)


class Bonding(SysfsCollector):
    """How many devices each bond has, and how many of them have a link."""

    name: ClassVar[str] = "bonding"
    families: ClassVar[tuple[Family, ...]] = (SLAVES, ACTIVE)
    root: ClassVar[str] = "sys/class/net/bonding_masters"

    def __init__(self, files: KernelFiles) -> None:
        super().__init__(files)
        self._net = files.path("sys/class/net")

    def has_devices(self) -> bool:
        """Return whether the driver is there; its files wait for whoever changes network devices."""
        return os.access(self._root, os.F_OK)

    def samples(self) -> Iterator[Sample]:
        """Yield each bond's rows. Raises KernelError naming the file that is not the kernel's."""
        for master in read_words(self._root):
            slaves = read_words(f"{self._net}/{master}/bonding/slaves")
            links = [self._has_link(master, slave) for slave in slaves]
            yield SLAVES, (master,), b"%d" % len(links)
            yield ACTIVE, (master,), b"%d" % sum(links)

    def _has_link(self, master: str, slave: str) -> bool:
        folder = f"{self._net}/{master}"
        for prefix in ("lower", "slave"):  # slave_ up to Linux 3.15
            state = read_words(f"{folder}/{prefix}_{slave}/bonding_slave/mii_status")
            if state:
                return state == ["up"]
        raise KernelError(f"{folder}/lower_{slave}/bonding_slave/mii_status: expected the state of a link")
