"""Usage gauges, ratios 0 to 1, on every system (psutil); people read them directly."""

from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.exposition import Block, Family, Layout, number
from exporter.history import History, Usage

CPU: Final = Family("host_cpu_usage_ratio", "gauge", "Share of time all cores were busy, last 15 s (psutil.cpu_times).")
CORE: Final = Family(
    "host_cpu_core_usage_ratio", "gauge", "Share of time a core was busy, last 15 s (psutil.cpu_times).", ("cpu",)
)
MEMORY: Final = Family(
    "host_memory_usage_ratio", "gauge", "Share of memory not available, last sample (psutil.virtual_memory)."
)
SWAP: Final = Family("host_swap_usage_ratio", "gauge", "Share of swap in use, last sample (psutil.swap_memory).")
FILE_SYSTEM: Final = Family(
    "host_filesystem_usage_ratio",
    "gauge",
    "Share in use of what others than root can have, as df counts, last sample (statvfs).",
    ("device", "fstype", "mountpoint"),
)

_Shape = tuple[bool, tuple[str, ...], bool, bool, tuple[tuple[str, str, str], ...]]


class UsageGauges:
    """What the sampler read last. Absent, never zero, what the system does not tell."""

    name: ClassVar[str] = "usage"
    families: ClassVar[tuple[Family, ...]] = (CPU, CORE, MEMORY, SWAP, FILE_SYSTEM)
    blocking: ClassVar[bool] = False

    def __init__(self, history: History) -> None:
        self._history = history
        self._shape: _Shape | None = None
        self._last: Usage | None = None
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return the gauges. Raises NoData before the first sample and when the sampler hangs."""
        usage = self._history.usage()
        if usage is None:
            raise NoData
        if usage != self._last:
            self._put(usage)
            self._last = usage
        return self._layout.render()

    def _put(self, usage: Usage) -> None:
        keys = tuple((fs.device, fs.fs_type, fs.mount_point) for fs in usage.file_systems)
        shape = (usage.cpu is not None, usage.core_numbers, usage.memory is not None, usage.swap is not None, keys)
        if shape != self._shape:
            self._layout = Layout(
                (
                    (CPU, [()] * shape[0]),
                    (CORE, [(core,) for core in shape[1]]),
                    (MEMORY, [()] * shape[2]),
                    (SWAP, [()] * shape[3]),
                    (FILE_SYSTEM, keys),
                )
            )
            self._shape = shape
        values = [usage.cpu, *usage.cores, usage.memory, usage.swap, *(fs.ratio for fs in usage.file_systems)]
        self._layout.fill([number(round(value, 6)) for value in values if value is not None])
