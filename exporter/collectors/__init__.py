"""What one scrape reads of this machine. COLLECTORS is the one table; a new collector is a file and a row here."""

import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from exporter.collectors.collector import Collector
from exporter.collectors.cpu import Cpu
from exporter.collectors.exporter import ExporterState, SettingsState
from exporter.collectors.filesystem import FileSystem
from exporter.collectors.loadavg import LoadAvg
from exporter.collectors.meminfo import MemInfo
from exporter.collectors.mounts import MountTable, UsageReader
from exporter.collectors.netdev import NetDev
from exporter.collectors.stat import Stat
from exporter.collectors.usage import UsageGauges
from exporter.history import History
from exporter.kernel import KernelFiles
from exporter.settings.exporter import Collectors


class Parts(NamedTuple):
    """What collectors are made of."""

    files: KernelFiles
    settings: Collectors
    history: History
    state: SettingsState


class Row(NamedTuple):
    """One collector: its type, how it is made, and whether only Linux has what it reads."""

    kind: type[Collector]
    make: Callable[[Parts], Collector]
    linux: bool = True


COLLECTORS: Final[tuple[Row, ...]] = (
    Row(Cpu, lambda p: Cpu(p.files)),
    Row(FileSystem, lambda p: FileSystem(MountTable(p.files, p.settings.filesystem), _usage_reader(p))),
    Row(LoadAvg, lambda p: LoadAvg(p.files)),
    Row(MemInfo, lambda p: MemInfo(p.files)),
    Row(NetDev, lambda p: NetDev(p.files, p.settings.netdev)),
    Row(ExporterState, lambda p: ExporterState(p.state), linux=False),
    Row(Stat, lambda p: Stat(p.files)),
    Row(UsageGauges, lambda p: UsageGauges(p.history), linux=False),
)


def _usage_reader(parts: Parts) -> UsageReader:
    return UsageReader(parts.settings.filesystem.mount_timeout)


def make(parts: Parts, platform: str = sys.platform) -> Sequence[Collector]:
    """Return the collectors that the settings enable and this system has, in the order of the page."""
    return [
        row.make(parts)
        for row in COLLECTORS
        if getattr(parts.settings, row.kind.name).enabled and (platform == "linux" or not row.linux)
    ]
