"""The recorded hosts of tests/fixtures/hosts, and the exporter as it would run on each of them."""

import asyncio
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from exporter.collector import Collector
from exporter.collectors import Parts, is_own_name, make
from exporter.collectors.clock import Clock
from exporter.collectors.containers import ContainerStates
from exporter.collectors.cpu import Cpu
from exporter.collectors.exporter import ExporterState, SettingsState
from exporter.collectors.filesystem import FileSystem
from exporter.collectors.mounts import MountTable, Usage, UsageReader
from exporter.collectors.process import OwnProcess
from exporter.collectors.runner import Runner
from exporter.collectors.sockstat import SockStat
from exporter.collectors.systemd import Options, SystemdUnits
from exporter.collectors.textfile import TextFiles
from exporter.collectors.timex import ClockDiscipline, Timex
from exporter.collectors.uname import Uname
from exporter.history import CpuTime, FileSystemUse, History, Sample
from exporter.kernel import KernelFiles
from exporter.settings.collectors import Collectors
from exporter.settings.containers import ContainersSettings
from exporter.settings.exporter import Paths
from tests.support.fake_engine import FakeEngine, every_state
from tests.support.fake_systemd import FakeBus, FakeSystemd, FakeUnit

HOSTS: Final = Path(__file__).parents[1] / "fixtures" / "hosts"
NAMES: Final = tuple(sorted(path.name for path in HOSTS.iterdir() if path.is_dir()))
WHOLE: Final = tuple(name for name in NAMES if name != "broken")

BOOT: Final = 1_700_000_000.25
NOWHERE: Final = Path("/nonexistent")
# the control groups of what fake_engine has running
GROUPS: Final = HOSTS.parent / "collectors/containers/docker-6.1"


def files_of(host: str) -> KernelFiles:
    """Return the recorded trees of one host."""
    return KernelFiles(HOSTS / host / "proc", HOSTS / host / "sys")


def copy_of(host: str, folder: Path) -> KernelFiles:
    """Return a host's trees copied below `folder`, where a test may change them."""
    shutil.copytree(HOSTS / host, folder / host)
    return KernelFiles(folder / host / "proc", folder / host / "sys")


def answer_statvfs(path: bytes) -> Usage:
    """Answer for a recorded mount, always the same for one path. Raises OSError where the server is gone."""
    if path.startswith(b"/srv/dead"):
        raise OSError(116, "Stale file handle")
    seed = zlib.crc32(path)
    size = 4096 * (1_000_000 + seed % 1_000_000)
    return Usage(size, size // 2, size // 2 - size // 20 // 4096 * 4096, 65536 + seed % 65536, 60000 + seed % 5000)


def usage_history() -> History:
    """Return a history of two samples 15 s apart: busy cores, memory, no swap, one file system."""
    history = History(5, clock=lambda: 115.0)
    file_systems = (FileSystemUse("/dev/vda", "ext4", "/", 0.4321987),)
    cores = ("0", "1")
    history.add(Sample(100.0, (CpuTime(10, 100), CpuTime(20, 100)), 0.5, None, file_systems, cores))
    history.add(Sample(115.0, (CpuTime(14.5, 115), CpuTime(35, 115)), 0.25, None, file_systems, cores))
    return history


# what a system call tells on every recorded host
TIMEX: Final = Timex(0, 1_500_000, -1_048_576, 16_250, 350, 0x2001, 7, 10_000, 0, 0, 0, 0, 0, 0, 0, 0, 37)
UTC: Final = time.struct_time((2023, 11, 14, 22, 13, 20, 1, 318, 0), {"tm_zone": "UTC", "tm_gmtoff": 0})
MACHINES: Final = {"armv7-no-swap-4.19": "armv7l"}


def _own_process(files: KernelFiles) -> Collector:
    process = OwnProcess(files, lambda: 12.5, lambda _: (1024, 1024))
    process._page, process._ticks_per_second = 4096, 100
    process._count_files = lambda: 9  # type: ignore[method-assign] -- a recorded folder's size is its disk's
    return process


def collectors_of(
    files: KernelFiles,
    ask: Callable[[bytes], Usage] = answer_statvfs,
    root: Path = NOWHERE,
    bus: str = str(NOWHERE / "bus"),
    engine: str = str(NOWHERE / "docker.sock"),
) -> Sequence[Collector]:
    """Return all collectors as on Linux with zero settings, but for what would ask this machine."""
    settings = Collectors()
    state = SettingsState(BOOT)
    paths = Paths(rootfs=str(root), udev_data=str(root / "udev"))
    made = make(Parts(files, settings, usage_history(), state, paths), "linux")
    instead: tuple[Collector, ...] = (
        Clock(files, lambda: BOOT, lambda _: UTC),
        ClockDiscipline(lambda: TIMEX),
        ContainerStates(KernelFiles(GROUPS / "proc", GROUPS / "sys"), ContainersSettings(socket=engine)),
        Cpu(files, 100),
        ExporterState(state, {"cpu": 0, "netdev": 0}, python="3.11.2", version="0.0.0"),
        FileSystem(MountTable(files, settings.filesystem), UsageReader(10, ask)),
        SockStat(files, 4096),
        SystemdUnits(Options(), bus),
        TextFiles((), is_own_name),
        Uname(files, root, lambda: MACHINES.get(root.name, "x86_64")),
        _own_process(files),
    )
    by_name = {collector.name: collector for collector in instead}
    return [by_name.get(collector.name, collector) for collector in made]


def scrape(runner: Runner, *, names: frozenset[str] | None = None, timeout: float = 30) -> bytes:
    """Return one page, on an event loop of its own."""

    async def wait() -> bytes:
        page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        runner.scrape(page.set_result, names=names, gzip=False, timeout=timeout)
        return await page

    return asyncio.run(wait())


def page_of(host: str) -> bytes:
    """Return the whole page of a recorded host; each collector takes 0 seconds by its clock.

    One host has a system bus and a container engine; where the trees are stands in no row.
    """
    files, root = files_of(host), HOSTS / host
    with _bus_of(host) as bus, _engine_of(host) as engine:
        collectors = collectors_of(files, root=root, bus=bus, engine=engine)
        page = scrape(Runner(collectors, files, 10, timer=lambda: 1.0))
    return page.replace(str(root).encode(), b"")


UNITS: Final = (
    FakeUnit("ssh.service", properties={("Service", "Type"): ("s", "notify")}),
    FakeUnit("postgresql@15-main.service", "failed", properties={("Service", "Type"): ("s", "forking")}),
    FakeUnit("dev-disk-by\\x2dlabel-data.swap", "inactive"),
    FakeUnit("daily.timer", properties={("Timer", "LastTriggerUSec"): ("t", 1_700_000_001_500_000)}),
    FakeUnit(
        "dbus.socket",
        properties={
            ("Socket", "NAccepted"): ("u", 7),
            ("Socket", "NConnections"): ("u", 2),
            ("Socket", "NRefused"): ("u", 1),
        },
    ),
    FakeUnit("gone.service", "inactive", "not-found"),
)


@contextmanager
def _bus_of(host: str) -> Iterator[str]:
    """Give the path of the host's system bus."""
    if host != "server-64-cores-6.1":
        yield str(NOWHERE / "bus")
        return
    with tempfile.TemporaryDirectory() as folder, FakeBus(Path(folder) / "bus", FakeSystemd(list(UNITS))) as bus:
        yield bus.path


@contextmanager
def _engine_of(host: str) -> Iterator[str]:
    """Give the path of the host's container engine."""
    if host != "server-64-cores-6.1":
        yield str(NOWHERE / "docker.sock")
        return
    with tempfile.TemporaryDirectory() as folder, FakeEngine(Path(folder) / "docker.sock", every_state()) as engine:
        yield str(engine.path)
