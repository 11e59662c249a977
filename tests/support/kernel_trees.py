"""Recorded trees of single collectors (tests/fixtures/collectors), and the collectors of kernel files made on them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, cast

from exporter.collector import Collector
from exporter.collectors.arp import Arp
from exporter.collectors.conntrack import Conntrack
from exporter.collectors.devices import DeviceFilter
from exporter.collectors.diskstats import DiskStats
from exporter.collectors.entropy import Entropy
from exporter.collectors.filefd import FileHandles
from exporter.collectors.netstat import NetStat
from exporter.collectors.pressure import Pressure
from exporter.collectors.schedstat import SchedStat
from exporter.collectors.sockstat import SockStat
from exporter.collectors.softnet import SoftNet
from exporter.collectors.udp_queues import UdpQueues
from exporter.collectors.vmstat import VmStat
from exporter.kernel import KernelError, KernelFile, KernelFiles
from exporter.settings.values import Regex

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

MAKE: Final[Mapping[str, Callable[[KernelFiles, Path], Collector]]] = {
    "arp": lambda files, _: Arp(files, DeviceFilter()),
    "conntrack": lambda files, _: Conntrack(files),
    "diskstats": lambda files, udev: DiskStats(files, DISKS, udev),
    "entropy": lambda files, _: Entropy(files),
    "filefd": lambda files, _: FileHandles(files),
    "netstat": lambda files, _: NetStat(files, NETSTAT),
    "pressure": lambda files, _: Pressure(files),
    "schedstat": lambda files, _: SchedStat(files),
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


class _File:
    """Stands in for a KernelFile, with the cause that a missing file has."""

    def __init__(self, contents: dict[str, bytes], name: str) -> None:
        self._contents = contents
        self._name = name

    def read(self) -> bytes:
        if self._name not in self._contents:
            raise KernelError(f"{self._name}: No such file or directory") from FileNotFoundError(2, "No such file")
        return self._contents[self._name]

    def close(self) -> None:
        """Nothing is open."""


class TreeFiles(KernelFiles):
    """Trees in memory: tests change `contents` between two scrapes. Nothing of this machine shows through."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        super().__init__(Path("/nonexistent/proc"), Path("/nonexistent/sys"))
        self.contents = dict(contents)

    def open(self, name: str, *, whole: bool = False) -> KernelFile:
        return cast(KernelFile, _File(self.contents, name))

    def open_own(self, name: str, *, whole: bool = False) -> KernelFile:
        return self.open(name)


def on(name: str, contents: Mapping[str, bytes]) -> tuple[TreeFiles, Collector]:
    """Return files in memory and a new collector of that name on them, without udev."""
    files = TreeFiles(contents)
    return files, MAKE[name](files, Path("/nonexistent/udev"))
