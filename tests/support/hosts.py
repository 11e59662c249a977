"""The recorded hosts of tests/fixtures/hosts, and the exporter as it would run on each of them."""

import asyncio
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from exporter.collectors import Parts, make
from exporter.collectors.collector import Collector
from exporter.collectors.exporter import ExporterState, SettingsState
from exporter.collectors.filesystem import FileSystem
from exporter.collectors.mounts import MountTable, Usage, UsageReader
from exporter.collectors.runner import Runner
from exporter.history import CpuTime, FileSystemUse, History, Sample
from exporter.kernel import KernelFiles
from exporter.settings.exporter import Collectors

HOSTS: Final = Path(__file__).parents[1] / "fixtures" / "hosts"
NAMES: Final = tuple(sorted(path.name for path in HOSTS.iterdir() if path.is_dir()))
WHOLE: Final = tuple(name for name in NAMES if name != "broken")

BOOT: Final = 1_700_000_000.25


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
    history.add(Sample(100.0, (CpuTime(10, 100), CpuTime(20, 100)), 0.5, None, file_systems))
    history.add(Sample(115.0, (CpuTime(14.5, 115), CpuTime(35, 115)), 0.25, None, file_systems))
    return history


def collectors_of(files: KernelFiles, ask: Callable[[bytes], Usage] = answer_statvfs) -> Sequence[Collector]:
    """Return all collectors as on Linux with zero settings, but for what would ask this machine."""
    settings = Collectors()
    state = SettingsState(BOOT)
    made = make(Parts(files, settings, usage_history(), state), "linux")
    instead: dict[str, Collector] = {
        "filesystem": FileSystem(MountTable(files, settings.filesystem), UsageReader(10, ask)),
        "exporter": ExporterState(state, "3.11.2", "0.0.0"),
    }
    return [instead.get(collector.name, collector) for collector in made]


def scrape(runner: Runner, *, names: frozenset[str] | None = None, timeout: float = 30) -> bytes:
    """Return one page, on an event loop of its own."""

    async def wait() -> bytes:
        page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        runner.scrape(page.set_result, names=names, gzip=False, timeout=timeout)
        return await page

    return asyncio.run(wait())


def page_of(host: str) -> bytes:
    """Return the whole page of a recorded host; each collector takes 0 seconds by its clock."""
    files = files_of(host)
    return scrape(Runner(collectors_of(files), files, 10, timer=lambda: 1.0))
