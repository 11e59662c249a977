"""Recorded trees of single collectors (tests/fixtures/collectors), and the collectors of kernel files made on them."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from exporter.collector import Collector
from exporter.collectors.arp import Arp
from exporter.collectors.conntrack import Conntrack
from exporter.collectors.devices import DeviceFilter
from exporter.collectors.diskstats import DiskStats
from exporter.collectors.entropy import Entropy
from exporter.collectors.filefd import FileHandles
from exporter.collectors.netstat import NetStat
from exporter.collectors.optional import BuiltInFile
from exporter.collectors.pressure import Pressure
from exporter.collectors.schedstat import SchedStat
from exporter.collectors.sockstat import SockStat
from exporter.collectors.softnet import SoftNet
from exporter.collectors.udp_queues import UdpQueues
from exporter.collectors.vmstat import VmStat
from exporter.kernel import KernelFiles
from exporter.settings.values import Regex
from tests.support.kernel import MemoryFiles

TREES: Final = Path(__file__).parents[1] / "fixtures" / "collectors"

# the defaults of the settings
DISKS: Final = DeviceFilter(exclude=Regex(r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"))
VMSTAT: Final = Regex(r"^(oom_kill|pgpg|pswp|pg.*fault).*")
NETSTAT: Final = Regex(
    r"^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)"
    r"|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)"
    r"|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)"
    r"|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
)


def _hurrying_clock() -> Callable[[], float]:
    """Return a clock by which a built-in file that was missing is looked for at each read."""
    return itertools.count(0, BuiltInFile.RETRY_SECONDS).__next__


MAKE: Final[Mapping[str, Callable[[KernelFiles, Path], Collector]]] = {
    "arp": lambda files, _: Arp(files, DeviceFilter()),
    "conntrack": lambda files, _: Conntrack(files),
    "diskstats": lambda files, udev: DiskStats(files, DISKS, udev),
    "entropy": lambda files, _: Entropy(files),
    "filefd": lambda files, _: FileHandles(files),
    "netstat": lambda files, _: NetStat(files, NETSTAT),
    "pressure": lambda files, _: Pressure(files, _hurrying_clock()),
    "schedstat": lambda files, _: SchedStat(files, _hurrying_clock()),
    "sockstat": lambda files, _: SockStat(files, 4096),
    "softnet": lambda files, _: SoftNet(files),
    "udp_queues": lambda files, _: UdpQueues(files),
    "vmstat": lambda files, _: VmStat(files, VMSTAT),
}


class Tree(NamedTuple):
    """One recorded tree."""

    collector: str
    case: str

    @property
    def folder(self) -> Path:
        return TREES / self.collector / self.case

    def make(self) -> Collector:
        """Return a new collector on the recorded files."""
        files = KernelFiles(self.folder / "proc", self.folder / "sys")
        return MAKE[self.collector](files, self.folder / "udev")

    def contents(self) -> dict[str, bytes]:
        """Return the files of /proc by their names (proc/...)."""
        paths = [path for path in (self.folder / "proc").rglob("*") if path.is_file() and path.name != ".keep"]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(paths)}

    def __str__(self) -> str:
        return f"{self.collector}-{self.case}"


ALL: Final = tuple(Tree(name, path.name) for name in MAKE for path in sorted((TREES / name).glob("*")) if path.is_dir())


class TreeFiles(MemoryFiles):
    """Trees in memory: tests change `contents` between two scrapes, and not what they made it of."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        super().__init__(dict(contents))


def on(name: str, contents: Mapping[str, bytes]) -> tuple[TreeFiles, Collector]:
    """Return files in memory and a new collector of that name on them, without udev."""
    files = TreeFiles(contents)
    return files, MAKE[name](files, Path("/nonexistent/udev"))
