"""The usage gauges' numbers on Linux, from the kernel's files: a fifth of psutil's CPU, and psutil is not imported."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from exporter.collectors.cpu import cpu_lines
from exporter.collectors.filesystem import FileSystemUses
from exporter.collectors.mounts import Askers
from exporter.history import CpuTime, Reading
from exporter.kernel import KernelError, KernelFiles
from exporter.settings.collectors import FilesystemSettings

_FIELDS: Final = (b"MemTotal:", b"MemAvailable:", b"SwapTotal:", b"SwapFree:")


class KernelUsage:
    """Reads /proc/stat, /proc/meminfo and the mounts for one sample. Lives on the sampler's thread."""

    def __init__(
        self,
        files: KernelFiles,
        settings: FilesystemSettings,
        root: Path = Path("/"),
        ticks_per_second: int | None = None,
        askers: Askers | None = None,
    ) -> None:
        self._stat = files.open_own("proc/stat", whole=True)
        self._meminfo = files.open_own("proc/meminfo", whole=True)
        self._file_systems = FileSystemUses(files, settings, root, askers=askers)
        self._ticks_per_second = ticks_per_second or os.sysconf("SC_CLK_TCK")
        self._cores: list[bytes] = []
        self._numbers: tuple[str, ...] = ()

    def __call__(self) -> Reading:
        """Return this moment's reading; may take the mount time-out. Raises KernelError."""
        file_systems = tuple(self._file_systems())
        cores, cpu = cpu_times(self._stat.read(), self._ticks_per_second)
        if cores != self._cores:
            self._numbers = core_numbers(cores)
            self._cores = cores
        return Reading(cpu, *memory_ratios(self._meminfo.read()), file_systems, self._numbers)


def core_numbers(cores: Sequence[bytes]) -> tuple[str, ...]:
    """Return the cores' numbers by their names (cpu0). Raises KernelError for what is no core, or there twice."""
    if len(set(cores)) != len(cores) or not all(core[:3] == b"cpu" and core[3:].isdigit() for core in cores):
        raise KernelError("proc/stat: expected lines of cores, each once")
    return tuple(core[3:].decode() for core in cores)


# a sample comes with cold caches, where each call of a Python function costs microseconds: so these do all in one


def cpu_times(text: bytes, ticks_per_second: int) -> tuple[list[bytes], tuple[CpuTime, ...]]:
    """Return each core's name, and its busy and whole seconds. Waiting is not busy; guest time is in user and nice.

    Raises KernelError when the part about the cores is not whole, or a counter is no number.
    """
    cores, out = [], []
    for line in cpu_lines(text):
        fields = line.split(None, 9)
        try:
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields[1:9])
        except ValueError:
            raise KernelError(f"proc/stat: expected cpuN and its counters, got {line[:80]!r}") from None
        busy = user + nice + system + irq + softirq + steal
        cores.append(fields[0])
        out.append(CpuTime(busy / ticks_per_second, (busy + idle + iowait) / ticks_per_second))
    return cores, tuple(out)


def memory_ratios(text: bytes) -> tuple[float | None, float | None]:
    """Return the shares of memory that is not available and of swap in use, 0 to 1 (/proc/meminfo).

    None for memory before Linux 3.14, which has no MemAvailable, and for swap where there is none.
    Raises KernelError when there is no memory at all or the file is cut short.
    """
    try:
        kib = {
            key: int(text[start + len(key) : text.find(b" kB\n", start)])
            for key in _FIELDS
            if (start := text.find(key)) >= 0
        }
    except ValueError:
        kib = {}
    if not kib.get(b"MemTotal:") or not text.endswith(b"\n"):
        raise KernelError(f"proc/meminfo: expected MemTotal and whole lines, got {text[:80]!r}")
    total, available, swap_total, swap_free = map(kib.get, _FIELDS)
    memory = None if available is None or not total else 1 - available / total
    swap = None if not swap_total or swap_free is None else 1 - swap_free / swap_total
    return memory, swap
