"""What one scrape reads of this machine. COLLECTORS is the one table; a new collector is a file and a row here."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from exporter.collector import Collector
from exporter.collectors.arp import Arp
from exporter.collectors.bcache import Bcache
from exporter.collectors.bonding import Bonding
from exporter.collectors.btrfs import Btrfs
from exporter.collectors.clock import Clock
from exporter.collectors.conntrack import Conntrack
from exporter.collectors.containers import ContainerStates
from exporter.collectors.cpu import Cpu
from exporter.collectors.cpufreq import CpuFreq
from exporter.collectors.devices import DeviceFilter
from exporter.collectors.diskstats import DiskStats
from exporter.collectors.dmi import Dmi
from exporter.collectors.edac import Edac
from exporter.collectors.entropy import Entropy
from exporter.collectors.exporter import ExporterState, SettingsState
from exporter.collectors.filefd import FileHandles
from exporter.collectors.filesystem import FileSystem
from exporter.collectors.hwmon import Filter, HwMon
from exporter.collectors.loadavg import LoadAvg
from exporter.collectors.mdadm import MdAdm
from exporter.collectors.meminfo import MemInfo
from exporter.collectors.mounts import Askers, LocalPaths, MountTable, UsageReader
from exporter.collectors.netclass import NetClass
from exporter.collectors.netdev import NetDev
from exporter.collectors.netstat import NetStat
from exporter.collectors.nvme import Nvme
from exporter.collectors.os_release import OsRelease
from exporter.collectors.powersupplyclass import PowerSupplyClass
from exporter.collectors.pressure import Pressure
from exporter.collectors.process import OwnProcess
from exporter.collectors.process_groups import ProcessGroups
from exporter.collectors.rapl import Rapl
from exporter.collectors.runner import FAMILIES
from exporter.collectors.schedstat import SchedStat
from exporter.collectors.selinux import SeLinux
from exporter.collectors.sockstat import SockStat
from exporter.collectors.softnet import SoftNet
from exporter.collectors.stat import Stat
from exporter.collectors.systemd import Options, SystemdUnits
from exporter.collectors.textfile import TextFiles
from exporter.collectors.thermal_zone import ThermalZone
from exporter.collectors.timex import ClockDiscipline
from exporter.collectors.udp_queues import UdpQueues
from exporter.collectors.uname import Uname
from exporter.collectors.usage import UsageGauges
from exporter.collectors.vmstat import VmStat
from exporter.collectors.watchdog import Watchdog
from exporter.collectors.xfs import Xfs
from exporter.history import History
from exporter.kernel import KernelFiles
from exporter.processes import Scan
from exporter.settings.collectors import (
    ArpSettings,
    Collectors,
    DiskstatsSettings,
    HwmonSettings,
    NetdevSettings,
    SystemdSettings,
    TextfileSettings,
)
from exporter.settings.exporter import Paths


class Parts(NamedTuple):
    """What collectors are made of."""

    files: KernelFiles
    settings: Collectors
    history: History
    state: SettingsState
    paths: Paths = Paths()
    dropped: Mapping[str, int] = MappingProxyType({})
    """How many samples of each collector fell to the cap; filled by the runner."""
    last_scan: Callable[[], Scan | None] = lambda: None
    """Gives the newest scan of all processes."""
    askers: Askers | None = None
    """Those of settings before these, with the mounts that hold them."""

    @property
    def root(self) -> Path:
        """Where the machine's root is."""
        return Path(self.paths.rootfs)


class Row(NamedTuple):
    """One collector: its type, how it is made, and whether only Linux has what it reads."""

    kind: type[Collector]
    make: Callable[[Parts], Collector]
    linux: bool = True


COLLECTORS: Final[tuple[Row, ...]] = (
    Row(Arp, lambda p: Arp(p.files, device_filter(p.settings.arp))),
    Row(Bcache, lambda p: Bcache(p.files)),
    Row(Bonding, lambda p: Bonding(p.files)),
    Row(Btrfs, lambda p: Btrfs(p.files)),
    Row(Conntrack, lambda p: Conntrack(p.files)),
    Row(ContainerStates, lambda p: ContainerStates(p.files, p.settings.containers)),
    Row(Cpu, lambda p: Cpu(p.files)),
    Row(CpuFreq, lambda p: CpuFreq(p.files)),
    Row(DiskStats, lambda p: DiskStats(p.files, device_filter(p.settings.diskstats), Path(p.paths.udev_data))),
    Row(Dmi, lambda p: Dmi(p.files)),
    Row(Edac, lambda p: Edac(p.files)),
    Row(Entropy, lambda p: Entropy(p.files)),
    Row(ExporterState, lambda p: ExporterState(p.state, p.dropped), linux=False),
    Row(FileHandles, lambda p: FileHandles(p.files)),
    Row(FileSystem, lambda p: FileSystem(MountTable(p.files, p.settings.filesystem, p.root), _usage_reader(p))),
    Row(HwMon, lambda p: _sensors(p.files, p.settings.hwmon)),
    Row(LoadAvg, lambda p: LoadAvg(p.files)),
    Row(MdAdm, lambda p: MdAdm(p.files)),
    Row(MemInfo, lambda p: MemInfo(p.files)),
    Row(NetClass, lambda p: NetClass(p.files, p.settings.netclass.ignored_devices)),
    Row(NetDev, lambda p: NetDev(p.files, device_filter(p.settings.netdev))),
    Row(NetStat, lambda p: NetStat(p.files, p.settings.netstat.fields)),
    Row(Nvme, lambda p: Nvme(p.files)),
    Row(OsRelease, lambda p: OsRelease(p.root)),
    Row(PowerSupplyClass, lambda p: PowerSupplyClass(p.files, p.settings.powersupplyclass.ignored)),
    Row(Pressure, lambda p: Pressure(p.files)),
    Row(OwnProcess, lambda p: OwnProcess(p.files)),
    Row(ProcessGroups, lambda p: ProcessGroups(p.last_scan)),
    Row(Rapl, lambda p: Rapl(p.files)),
    Row(SchedStat, lambda p: SchedStat(p.files)),
    Row(SeLinux, lambda p: SeLinux(p.files, p.root)),
    Row(SockStat, lambda p: SockStat(p.files)),
    Row(SoftNet, lambda p: SoftNet(p.files)),
    Row(Stat, lambda p: Stat(p.files)),
    Row(SystemdUnits, lambda p: _units(p.settings.systemd)),
    Row(TextFiles, lambda p: _text_files(p.files, p.settings.textfile)),
    Row(ThermalZone, lambda p: ThermalZone(p.files)),
    Row(Clock, lambda p: Clock(p.files)),
    Row(ClockDiscipline, lambda _: ClockDiscipline()),
    Row(UdpQueues, lambda p: UdpQueues(p.files)),
    Row(Uname, lambda p: Uname(p.files, p.root)),
    Row(UsageGauges, lambda p: UsageGauges(p.history), linux=False),
    Row(VmStat, lambda p: VmStat(p.files, p.settings.vmstat.fields)),
    Row(Watchdog, lambda p: Watchdog(p.files)),
    Row(Xfs, lambda p: Xfs(p.files)),
)

# families whose names come from the kernel's: nobody else may use what they could become
_NAMED_BY_THE_KERNEL: Final = (
    "node_hwmon_",
    "node_memory_",
    "node_netstat_",
    "node_power_supply_",
    "node_rapl_",
    "node_sockstat_",
    "node_vmstat_",
)
# those of probes, which do not know this table, nor it them
_OF_PROBES: Final = ("host_api_", "host_ping_", "host_service_")


def is_own_name(name: str) -> bool:
    """Whether a family of that name is ours, so that no file may bring it."""
    return name in _own_names() or name.startswith((*_NAMED_BY_THE_KERNEL, *_OF_PROBES))


@cache
def _own_names() -> frozenset[str]:
    families = [*FAMILIES, *(family for row in COLLECTORS for family in row.kind.families)]
    return frozenset(family.name for family in families)


def device_filter(settings: ArpSettings | DiskstatsSettings | NetdevSettings) -> DeviceFilter:
    """Return which devices a collector's settings want."""
    return DeviceFilter(settings.device_include, settings.device_exclude)


def _sensors(files: KernelFiles, settings: HwmonSettings) -> HwMon:
    chips = Filter(settings.chip_include, settings.chip_exclude)
    return HwMon(files, chips, Filter(settings.sensor_include, settings.sensor_exclude))


def _units(settings: SystemdSettings) -> SystemdUnits:
    wanted = (settings.unit_include, settings.unit_exclude)
    return SystemdUnits(Options(*wanted, settings.start_times, settings.tasks, settings.restarts), settings.bus)


def _text_files(files: KernelFiles, settings: TextfileSettings) -> TextFiles:
    return TextFiles(settings.directories, is_own_name, settings.max_file_bytes, LocalPaths(files))


def _usage_reader(parts: Parts) -> UsageReader:
    return UsageReader(parts.settings.filesystem.mount_timeout, askers=parts.askers)


def make(parts: Parts, platform: str = sys.platform) -> Sequence[Collector]:
    """Return the collectors that the settings enable and this system has, in the order of the page."""
    return [
        row.make(parts)
        for row in COLLECTORS
        if getattr(parts.settings, row.kind.name).enabled and (platform == "linux" or not row.linux)
    ]
