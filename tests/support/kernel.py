"""Kernel files in memory, and readers of our own pages and of kernel files that are too simple to be wrong."""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, cast

from exporter.collector import Collector
from exporter.collectors.cpu import GUEST_MODES, MODES, Cpu
from exporter.collectors.devices import DeviceFilter
from exporter.collectors.filesystem import FileSystem
from exporter.collectors.loadavg import LoadAvg
from exporter.collectors.meminfo import MemInfo
from exporter.collectors.mounts import MountTable, Usage, UsageReader
from exporter.collectors.netdev import COUNTERS, NetDev
from exporter.collectors.stat import Stat
from exporter.exposition import escape, text_of
from exporter.kernel import KernelError, KernelFile, KernelFiles
from exporter.settings.collectors import FilesystemSettings
from tests.support.hosts import NOWHERE, answer_statvfs

Rows = set[tuple[str, float]]
"""What stands before the value of a sample's line, and the value."""


class MemoryFile:
    """Stands in for a KernelFile: reads from a dictionary; a name that is not in it fails as a missing file does."""

    def __init__(self, contents: dict[str, bytes], name: str) -> None:
        self._contents = contents
        self._name = name

    def read(self) -> bytes:
        if self._name not in self._contents:
            raise KernelError(f"{self._name}: No such file or directory") from FileNotFoundError(2, "No such file")
        return self._contents[self._name]

    def changed(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""


class MemoryFiles(KernelFiles):
    """Trees in memory: tests change `contents` between two scrapes."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        super().__init__(NOWHERE / "proc", NOWHERE / "sys")  # nothing of this machine shows through
        self.contents = contents

    def open(self, name: str, *, whole: bool = False, record: int = 0) -> KernelFile:
        return cast(KernelFile, MemoryFile(self.contents, name))

    def open_own(self, name: str, *, whole: bool = False, record: int = 0) -> KernelFile:
        return self.open(name)


def collect(collector: Collector) -> bytes:
    """Return a collector's text as the runner takes it: `blocking` is asked first."""
    assert collector.blocking in (True, False)
    return collector.collect()


def rows_of(page: bytes) -> Rows:
    """Return the samples of a page of ours, each line once."""
    lines = [line for line in page.decode().split("\n") if line and not line.startswith("#")]
    rows = [(key, float(value)) for key, _, value in (line.rpartition(" ") for line in lines)]
    assert len({key for key, _ in rows}) == len(rows), "a sample stands twice"
    return set(rows)


# ---- what the rows should be: every line taken for itself, good or not, without a thought about the rest


def _digits(field: bytes) -> bool:
    return re.fullmatch(rb"[0-9]+", field) is not None


def loadavg_rows(text: bytes) -> Iterator[tuple[str, float]]:
    for name, field in zip(("node_load1", "node_load5", "node_load15"), text.split(), strict=False):
        if re.fullmatch(rb"[0-9]+\.[0-9]+", field):
            yield name, float(field)


_STAT: Final = {
    b"intr": "node_intr_total",
    b"ctxt": "node_context_switches_total",
    b"btime": "node_boot_time_seconds",
    b"processes": "node_forks_total",
    b"procs_running": "node_procs_running",
    b"procs_blocked": "node_procs_blocked",
}


def stat_rows(text: bytes) -> Iterator[tuple[str, float]]:
    for line in text.split(b"\n"):
        match line.split(b" "):
            case [key, value, *_] if key in _STAT and _digits(value):
                yield _STAT[key], float(value)


def cpu_rows(text: bytes) -> Iterator[tuple[str, float]]:
    for line in text.split(b"\n"):
        core, *fields = line.split() or [b""]
        if core.startswith(b"cpu") and _digits(core[3:]) and len(fields) >= 10 and all(map(_digits, fields[:10])):
            ticks = [int(field) / 100 for field in fields[:10]]
            for mode, value in zip(MODES, ticks, strict=False):
                yield f'node_cpu_seconds_total{{cpu="{core[3:].decode()}",mode="{mode}"}}', value
            for mode, value in zip(GUEST_MODES, ticks[8:], strict=True):
                yield f'node_cpu_guest_seconds_total{{cpu="{core[3:].decode()}",mode="{mode}"}}', value


def meminfo_rows(text: bytes) -> Iterator[tuple[str, float]]:
    for line in text.split(b"\n"):
        key, _, rest = line.partition(b":")
        name = "node_memory_" + key.decode("latin-1").replace("(", "_").replace(")", "")
        match rest.split():
            case [value, b"kB"] if _digits(value):
                yield name + "_bytes", float(int(value) * 1024)
            case [value] if _digits(value):
                yield name, float(value)


def netdev_rows(text: bytes) -> Iterator[tuple[str, float]]:
    for line in re.split(rb"[\r\n]", text):
        device, colon, rest = line.partition(b":")
        fields = rest.split()
        if colon and len(fields) == len(COUNTERS) and all(map(_digits, fields)):
            for family, field in zip(COUNTERS, fields, strict=True):
                yield f'{family.name}{{device="{escape(text_of(device.strip()))}"}}', float(field)


def _octal(field: bytes) -> bytes:
    return re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), field)


def filesystem_rows(text: bytes) -> Iterator[tuple[str, float]]:
    for line in text.split(b"\n"):
        left, dash, right = line.partition(b" - ")
        if not dash or left.count(b" ") < 5 or right.count(b" ") < 2:
            continue
        path, options = (_octal(field) for field in left.split(b" ")[4:6])
        kind, device, more = (_octal(field) for field in right.split(b" ")[:3])
        names = [escape(text_of(field)) for field in (device, kind, path)]
        labels = '{{device="{}",fstype="{}",mountpoint="{}"}}'.format(*names)
        try:
            usage: Usage | None = answer_statvfs(path)
        except OSError:
            usage = None
        yield f"node_filesystem_device_error{labels}", float(usage is None)
        if usage is not None:
            numbers = [escape(text_of(part)) for part in left.split(b" ")[2].partition(b":")[::2]]
            info = '{{device="{}",major="{}",minor="{}",mountpoint="{}"}}'.format(names[0], *numbers, names[2])
            yield f"node_filesystem_mount_info{info}", 1.0
            yield f"node_filesystem_readonly{labels}", float(b"ro" in options.split(b",") + more.split(b","))
            for field, value in zip(
                ("size_bytes", "free_bytes", "avail_bytes", "files", "files_free"), usage, strict=True
            ):
                yield f"node_filesystem_{field}{labels}", float(value)


class Case(NamedTuple):
    """A collector, the file that it reads, and what the rows of that file should be."""

    file: str
    make: Callable[[KernelFiles], Collector]
    rows: Callable[[bytes], Iterator[tuple[str, float]]]


def _make_filesystem(files: KernelFiles) -> Collector:
    nothing_hangs = UsageReader(30, answer_statvfs)
    nothing_hangs._ask_with_deadline = answer_statvfs  # type: ignore[method-assign]
    return FileSystem(MountTable(files, FilesystemSettings()), nothing_hangs)


CASES: Final = {
    "loadavg": Case("proc/loadavg", LoadAvg, loadavg_rows),
    "stat": Case("proc/stat", Stat, stat_rows),
    "cpu": Case("proc/stat", lambda files: Cpu(files, 100), cpu_rows),
    "meminfo": Case("proc/meminfo", MemInfo, meminfo_rows),
    "netdev": Case("proc/net/dev", lambda files: NetDev(files, DeviceFilter()), netdev_rows),
    "filesystem": Case("proc/self/mountinfo", _make_filesystem, filesystem_rows),
}
