"""The collectors of hardware and block devices, by the folder of their trees.

The trees are written, not recorded: no machine at hand had the hardware. They follow the kernel's documents and drivers
(Documentation/hwmon, admin-guide/md.rst, ABI/testing/sysfs-*), and both versions of node_exporter read them alike.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from exporter.collector import Collector
from exporter.collectors.bcache import Bcache
from exporter.collectors.bonding import Bonding
from exporter.collectors.btrfs import Btrfs
from exporter.collectors.cpufreq import CpuFreq
from exporter.collectors.dmi import Dmi
from exporter.collectors.edac import Edac
from exporter.collectors.hwmon import HwMon
from exporter.collectors.mdadm import MdAdm
from exporter.collectors.nvme import Nvme
from exporter.collectors.powersupplyclass import PowerSupplyClass
from exporter.collectors.rapl import Rapl
from exporter.collectors.thermal_zone import ThermalZone
from exporter.collectors.throttle import FAMILIES, Throttles
from exporter.collectors.watchdog import Watchdog
from exporter.collectors.xfs import Xfs
from exporter.exposition import Block
from exporter.kernel import KernelFiles
from tests.support.trees import cases


class ThrottlesAlone:
    """The cpu collector's part about heat, as a collector."""

    name = "cpu"
    families = FAMILIES
    blocking = False

    def __init__(self, files: KernelFiles) -> None:
        self.part = Throttles(files)

    def collect(self) -> Block:
        self.part.rebuild()
        return self.part.render()


class Machine(NamedTuple):
    """One collector: how it is made, whether it can wait for a driver, and what it makes of a machine without any."""

    make: Callable[[KernelFiles], Collector]
    asks_drivers: bool
    fails_without: bool


MACHINES: Final = {
    "bcache": Machine(Bcache, True, False),
    "bonding": Machine(Bonding, True, True),
    "btrfs": Machine(Btrfs, True, False),
    "cpufreq": Machine(CpuFreq, True, False),
    "dmi": Machine(Dmi, False, True),
    "edac": Machine(Edac, False, False),
    "hwmon": Machine(HwMon, True, True),
    "mdadm": Machine(MdAdm, False, True),
    "nvme": Machine(Nvme, False, True),
    "powersupplyclass": Machine(PowerSupplyClass, True, True),
    "rapl": Machine(Rapl, True, True),
    "thermal_zone": Machine(ThermalZone, True, False),
    "throttle": Machine(ThrottlesAlone, False, False),
    "watchdog": Machine(Watchdog, True, True),
    "xfs": Machine(Xfs, False, False),
}

CASES: Final = [(name, case) for name in MACHINES for case in cases(name)]
EACH_CASE: Final = pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}-{case.name}" for name, case in CASES])


def attributes(case: Path) -> Iterator[Path]:
    """Yield the files of a tree that hold something, each once: not the ways to it over symbolic links."""
    for root in ("proc", "sys"):
        for path in sorted((case / root).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name != ".keep" and path.stat().st_size:
                yield path
