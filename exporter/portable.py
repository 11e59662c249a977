"""What psutil tells on every system it supports. The one module that imports it: it undoes psutil's false zeros."""

import warnings
from collections.abc import Callable
from typing import TypeVar

import psutil

from exporter.history import CpuTime, FileSystemUse, Reading

T = TypeVar("T")

NAMES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def read_usage() -> Reading:
    """Return everything that a sample holds; may block on a dead mount."""
    cpu, file_systems = tuple(read_cpu_times()), tuple(read_file_systems())
    numbers = tuple(str(core) for core in range(len(cpu)))  # psutil knows no other; on Linux the kernel is asked
    return Reading(cpu, read_memory_ratio(), read_swap_ratio(), file_systems, numbers)


def read_cpu_times() -> list[CpuTime]:
    """Return each core's time since boot (psutil.cpu_times). Waiting for I/O is not busy; guest time is in user."""
    out = []
    for core in psutil.cpu_times(percpu=True):
        times = {name: getattr(core, name, 0.0) for name in NAMES}
        total = sum(times.values())
        out.append(CpuTime(total - times["idle"] - times["iowait"], total))
    return out


def read_memory_ratio() -> float | None:
    """Return the share of memory that is not available, 0 to 1; None where the system does not tell."""
    memory = _strictly(psutil.virtual_memory)
    return None if memory is None or not memory.total else 1 - memory.available / memory.total


def read_swap_ratio() -> float | None:
    """Return the share of swap in use, 0 to 1; None where there is no swap."""
    swap = _strictly(psutil.swap_memory)
    return None if swap is None or not swap.total else swap.used / swap.total


def read_file_systems() -> list[FileSystemUse]:
    """Return the use of every physical file system (psutil.disk_partitions); may block on a dead mount."""
    out = []
    for part in psutil.disk_partitions(all=False):
        try:
            usage = psutil.disk_usage(part.mountpoint)
        except OSError:
            continue  # an empty card reader, a mount that went
        if usage.total:
            out.append(FileSystemUse(part.device, part.fstype, part.mountpoint, usage.percent / 100))
    return out


def _strictly(read: Callable[[], T]) -> T | None:
    """Return what psutil reads, or None when it warns that it put zeros for what it could not read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            return read()
    except RuntimeWarning:
        return None
