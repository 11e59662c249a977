"""Processors that were too hot, are kept free of tasks or off (/sys/devices/system/cpu): parts of the cpu collector."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from exporter.collectors.sysfs import list_entries, read_attribute, read_count
from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelError, KernelFile, KernelFiles

CORE_THROTTLES: Final = Family(
    "node_cpu_core_throttles_total",
    "counter",
    "Times a core was slowed down for heat (/sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count).",
    ("core", "package"),
)
PACKAGE_THROTTLES: Final = Family(
    "node_cpu_package_throttles_total",
    "counter",
    "Times a package was slowed down for heat (/sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count).",
    ("package",),
)
ISOLATED: Final = Family(
    "node_cpu_isolated",
    "gauge",
    "1 for each processor that the scheduler leaves alone, isolcpus (/sys/devices/system/cpu/isolated).",
    ("cpu",),
)
ONLINE: Final = Family(
    "node_cpu_online",
    "gauge",
    "1 for each processor in use, 0 for one that is off, where all can be (/sys/devices/system/cpu/cpu*/online).",
    ("cpu",),
)
FAMILIES: Final = (CORE_THROTTLES, PACKAGE_THROTTLES, ISOLATED, ONLINE)

_ROOT: Final = "sys/devices/system/cpu"
_CPU: Final = re.compile(r"cpu[0-9]+")
_COUNT: Final = re.compile(rb"[0-9]+\n")


class Counter(NamedTuple):
    """One count of times: its file and label values."""

    file: KernelFile
    labels: tuple[str, ...]


class Throttles:
    """Counters of throttling by heat, once for each core and package, the isolated processors, and which are on.

    The kernel counts in its own memory: reading never waits. Which files there are is looked up by `rebuild`, to be
    called when processors come or go, on or off; a virtual machine has none, and then `render` costs nothing.
    """

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._counters: list[Counter] = []
        self._texts: list[bytes] = []
        self._layout = Layout(())

    def rebuild(self) -> None:
        """Look up cores, packages and processors isolated or off. Raises KernelError for what is no kernel's."""
        cores, packages = self._find()
        isolated = [(cpu,) for cpu in dict.fromkeys(self._read_isolated())]
        online = self._read_online()
        samples = ((CORE_THROTTLES, cores), (PACKAGE_THROTTLES, packages))
        self._layout = Layout(
            [(family, [counter.labels for counter in counters]) for family, counters in samples]
            + [(ISOLATED, isolated), (ONLINE, [(cpu,) for cpu in online])]
        )
        self._counters = [*cores, *packages]
        self._texts = []
        states = [b"1"] * len(isolated) + list(online.values())
        self._layout.put(Layout.span(len(self._counters), len(states)), states)

    def render(self) -> Block:
        """Return the rows. Raises KernelError naming the file that holds no count."""
        try:
            texts = [counter.file.read() for counter in self._counters]
        except KernelError:
            self.rebuild()  # a processor went since the last look
            texts = [counter.file.read() for counter in self._counters]
        if texts != self._texts:
            for counter, text in zip(self._counters, texts, strict=True):
                if _COUNT.fullmatch(text) is None:
                    raise KernelError(f"{counter.file.path}: expected a count, got {text[:80]!r}")
            self._layout.put(Layout.span(0, len(texts)), [text[:-1] for text in texts])
            self._texts = texts
        return self._layout.render()

    def _find(self) -> tuple[list[Counter], list[Counter]]:
        cores: dict[tuple[str, ...], Counter] = {}
        packages: dict[tuple[str, ...], Counter] = {}
        root = self._files.path(_ROOT)
        for cpu in filter(_CPU.fullmatch, list_entries(root)):
            core = read_count(f"{root}/{cpu}/topology/core_id")
            package = read_count(f"{root}/{cpu}/topology/physical_package_id")
            if core is not None and package is not None:
                # the two threads of a core show the same number; some kernels count cores but not packages
                names = (core.decode(), package.decode())
                self._add(cores, names, f"{cpu}/thermal_throttle/core_throttle_count")
                self._add(packages, names[1:], f"{cpu}/thermal_throttle/package_throttle_count")
        return list(cores.values()), list(packages.values())

    def _add(self, known: dict[tuple[str, ...], Counter], labels: tuple[str, ...], path: str) -> None:
        if labels not in known and read_attribute(self._files.path(f"{_ROOT}/{path}")) is not None:
            known[labels] = Counter(self._files.open_own(f"{_ROOT}/{path}", whole=True), labels)

    def _read_online(self) -> dict[str, bytes]:
        """Return 1 or 0 by processor; none where the first one cannot be off, as in node_exporter: most PCs."""
        root = self._files.path(_ROOT)
        if read_count(f"{root}/cpu0/online") is None:
            return {}
        cpus = filter(_CPU.fullmatch, list_entries(root))
        states = {cpu[3:]: read_count(f"{root}/{cpu}/online") for cpu in cpus}
        return {cpu: state for cpu, state in states.items() if state is not None}

    def _read_isolated(self) -> Iterator[str]:
        path = self._files.path(f"{_ROOT}/isolated")
        raw = read_attribute(path)
        return parse_cpu_list(raw, path) if raw is not None else iter(())


def parse_cpu_list(text: bytes, path: str) -> Iterator[str]:
    """Yield the processors of a list such as `2-3,7` (cpuset(7), list format). Raises KernelError naming the file."""
    for part in text.removesuffix(b"\n").split(b","):
        first, dash, last = part.partition(b"-")
        if part and not (text.endswith(b"\n") and first.isdigit() and (last.isdigit() or not dash)):
            raise KernelError(f"{path}: expected a list of processors, got {text[:80]!r}")
        if part:
            yield from map(str, range(int(first), int(last or first) + 1))
