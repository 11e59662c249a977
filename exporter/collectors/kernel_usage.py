"""The usage gauges' numbers on Linux, from the kernel's files: a fifth of psutil's CPU, and psutil is not imported."""

import os
import re
from pathlib import Path
from typing import Final

from exporter.collectors.cpu import IDLE, MODES, cpu_lines, parse_cpu_line
from exporter.collectors.filesystem import FileSystemUses
from exporter.history import CpuTime, Reading
from exporter.kernel import KernelError, KernelFiles
from exporter.settings.collectors import FilesystemSettings

_IOWAIT: Final = MODES.index("iowait")
_FIELD: Final = re.compile(rb"^(MemTotal|MemAvailable|SwapTotal|SwapFree): +(\d+) kB$", re.MULTILINE)


class KernelUsage:
    """Reads /proc/stat, /proc/meminfo and the mounts for one sample. Lives on the sampler's thread."""

    def __init__(
        self,
        files: KernelFiles,
        settings: FilesystemSettings,
        root: Path = Path("/"),
        ticks_per_second: int | None = None,
    ) -> None:
        self._stat = files.open_own("proc/stat", whole=True)
        self._meminfo = files.open_own("proc/meminfo", whole=True)
        self._file_systems = FileSystemUses(files, settings, root)
        self._ticks_per_second = ticks_per_second or os.sysconf("SC_CLK_TCK")

    def __call__(self) -> Reading:
        """Return this moment's reading; may take the mount time-out. Raises KernelError."""
        file_systems = tuple(self._file_systems())
        lines = cpu_lines(self._stat.read())
        memory, swap = parse_memory_ratios(self._meminfo.read())
        return Reading(tuple(cpu_time(line, self._ticks_per_second) for line in lines), memory, swap, file_systems)


def cpu_time(line: bytes, ticks_per_second: int) -> CpuTime:
    """Return one core's busy and whole seconds. Waiting for I/O is not busy; guest time is in user and nice."""
    ticks = parse_cpu_line(line)[: len(MODES)]
    total = sum(ticks)
    return CpuTime((total - ticks[IDLE] - ticks[_IOWAIT]) / ticks_per_second, total / ticks_per_second)


def parse_memory_ratios(text: bytes) -> tuple[float | None, float | None]:
    """Return the shares of memory that is not available and of swap in use, 0 to 1 (/proc/meminfo).

    None for memory before Linux 3.14, which has no MemAvailable, and for swap where there is none.
    Raises KernelError when there is no memory at all or the file is cut short.
    """
    kib = {key: int(value) for key, value in _FIELD.findall(text)}
    if not kib.get(b"MemTotal") or not text.endswith(b"\n"):
        raise KernelError(f"proc/meminfo: expected MemTotal and whole lines, got {text[:80]!r}")
    available, swap_total, swap_free = (kib.get(key) for key in (b"MemAvailable", b"SwapTotal", b"SwapFree"))
    memory = None if available is None else 1 - available / kib[b"MemTotal"]
    swap = None if not swap_total or swap_free is None else 1 - swap_free / swap_total
    return memory, swap
