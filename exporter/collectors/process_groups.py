"""Processes in groups, and the names that use most (/proc/PID, looked at by a thread of its own)."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.exposition import Block, Family, Layout, number
from exporter.processes.groups import STATES, GroupState
from exporter.processes.procfs import TICKS_PER_SECOND
from exporter.processes.scan import Scan
from exporter.processes.top import OTHER

_GROUP: Final = ("group",)

PROCESSES: Final = Family(
    "host_process_group_processes", "gauge", "Processes of the group, zombies included (/proc/PID).", _GROUP
)
THREADS: Final = Family("host_process_group_threads", "gauge", "Threads of the group (/proc/PID/stat).", _GROUP)
GROUP_STATES: Final = Family(
    "host_process_group_states", "gauge", "Processes of the group by state (/proc/PID/stat).", ("group", "state")
)
CPU: Final = Family(
    "host_process_group_cpu_seconds_total",
    "counter",
    "CPU seconds that the group's processes spent since hostwatch watches, ended ones included (/proc/PID/stat).",
    ("group", "mode"),
)
RESIDENT: Final = Family(
    "host_process_group_resident_bytes",
    "gauge",
    "Resident memory of the group; what processes share counts for each (/proc/PID/stat).",
    _GROUP,
)
VIRTUAL: Final = Family("host_process_group_virtual_bytes", "gauge", "Address space (/proc/PID/stat).", _GROUP)
SWAP: Final = Family("host_process_group_swap_bytes", "gauge", "Memory swapped out (/proc/PID/status).", _GROUP)
READ: Final = Family(
    "host_process_group_read_bytes_total",
    "counter",
    "Bytes that the group's processes had storage read since hostwatch watches, ended ones included (/proc/PID/io).",
    _GROUP,
)
WRITTEN: Final = Family(
    "host_process_group_written_bytes_total",
    "counter",
    "Bytes that the group's processes had storage written since hostwatch watches, ended ones included (/proc/PID/io).",
    _GROUP,
)
OPEN_FILES: Final = Family("host_process_group_open_files", "gauge", "Files that are open (/proc/PID/fd).", _GROUP)
FILES_RATIO: Final = Family(
    "host_process_group_open_files_limit_ratio",
    "gauge",
    "The highest share of its limit of open files that a process of the group uses (/proc/PID/fd, /proc/PID/limits).",
    _GROUP,
)
START: Final = Family(
    "host_process_group_oldest_start_timestamp_seconds",
    "gauge",
    "Start of the group's oldest process, seconds since the epoch (/proc/PID/stat).",
    _GROUP,
)
HIDDEN: Final = Family(
    "host_process_group_hidden",
    "gauge",
    "Processes of which permissions hide that field; what it would tell of the group is absent (/proc/PID).",
    ("group", "field"),
)
TOP_CPU: Final = Family(
    "host_process_top_cpu_cores",
    "gauge",
    "Cores that processes of that name used between the last two scans; the sum is that of all (clock_gettime(2)).",
    ("name",),
)
TOP_RESIDENT: Final = Family(
    "host_process_top_resident_bytes",
    "gauge",
    "Resident memory of processes of that name; the sum is that of all (/proc/PID/stat).",
    ("name",),
)
SEEN: Final = Family(
    "host_process_scan_processes", "gauge", "Processes that the last scan saw, kernel threads included (/proc)."
)
COMPLETE: Final = Family(
    "host_process_scan_complete", "gauge", "1 if no process is hidden; else no sums are shown (/proc, hidepid)."
)
DURATION: Final = Family("host_process_scan_duration_seconds", "gauge", "Seconds that the last scan took.")
TIMESTAMP: Final = Family(
    "host_process_scan_timestamp_seconds", "gauge", "When the last scan began, seconds since the epoch."
)

_SCAN: Final = (SEEN, COMPLETE, DURATION, TIMESTAMP)


class ProcessGroups:
    """What the last scan of all processes found; nothing while there is none, or when it is three intervals old."""

    name: ClassVar[str] = "process_groups"
    families: ClassVar[tuple[Family, ...]] = (
        PROCESSES,
        THREADS,
        GROUP_STATES,
        CPU,
        RESIDENT,
        VIRTUAL,
        SWAP,
        READ,
        WRITTEN,
        OPEN_FILES,
        FILES_RATIO,
        START,
        HIDDEN,
        TOP_CPU,
        TOP_RESIDENT,
        *_SCAN,
    )
    blocking: ClassVar[bool] = False

    def __init__(self, last: Callable[[], Scan | None]) -> None:
        """`last` gives the newest scan; None when there is none that may be shown."""
        self._last = last
        self._scan: Scan | None = None
        self._groups = _GroupRows()
        self._others = Layout(())
        self._names: tuple[tuple[Family, tuple[str, ...]], ...] = ()

    def collect(self) -> Block:
        """Return the rows, the same text until there is a new scan. Raises NoData without one."""
        scan = self._last()
        if scan is None or not scan.processes:
            raise NoData
        if scan is not self._scan:
            self._groups.put(scan.groups, scan.boot)
            self._put_others(scan)
            self._scan = scan
        return self._groups.render() + self._others.render()

    def _put_others(self, scan: Scan) -> None:
        """Put the lists, and what there is to say about the scan itself."""
        rows: list[_Row] = []
        for family, uses, other in (
            (TOP_CPU, [(use.name, use.cpu_seconds_per_second) for use in scan.top_cpu], scan.other_cores),
            (TOP_RESIDENT, [(use.name, float(use.resident_bytes)) for use in scan.top_memory], scan.other_resident),
        ):
            if other is not None:
                rows += [(family, (name,), round(value, 6)) for name, value in (*uses, (OTHER, other))]
        values = (scan.processes, scan.complete, round(scan.seconds, 6), round(scan.wall, 3))
        rows += [(family, (), value) for family, value in zip(_SCAN, values, strict=True)]
        names = tuple((family, key) for family, key, _ in rows)
        if names != self._names:
            self._others = _lay_out(names)
            self._names = names
        self._others.fill([number(value) for _, _, value in rows])


_Row = tuple[Family, tuple[str, ...], float]
_ORDER: Final = {family.name: place for place, family in enumerate(ProcessGroups.families)}


class _GroupRows:
    """The rows of all groups; a group that is as it was keeps its text."""

    def __init__(self) -> None:
        self._states: list[GroupState] = []
        self._boot = 0.0
        self._keys: list[list[tuple[Family, tuple[str, ...]]]] = []
        self._slots: list[list[int]] = []
        self._layout = Layout(())

    def put(self, states: Sequence[GroupState], boot: float) -> None:
        """Put the values of every group that differs from the last time."""
        before = self._states if boot == self._boot and len(states) == len(self._states) else [None] * len(states)
        self._states, self._boot = list(states), boot
        changed = {
            place: _group_rows(state, boot)
            for place, (state, old) in enumerate(zip(states, before, strict=True))
            if state is not old
        }
        keys = {place: [(family, key) for family, key, _ in rows] for place, rows in changed.items()}
        if len(states) != len(self._keys) or any(self._keys[place] != own for place, own in keys.items()):
            changed = {place: _group_rows(state, boot) for place, state in enumerate(states)}
            self._keys = [[(family, key) for family, key, _ in rows] for rows in changed.values()]
            self._arrange()
        for place, rows in changed.items():
            for slot, (_, _, value) in zip(self._slots[place], rows, strict=True):
                self._layout.put_one(slot, number(value))

    def _arrange(self) -> None:
        """Make the layout: by family, within a family by group."""
        rows = [(place, row, *key) for place, keys in enumerate(self._keys) for row, key in enumerate(keys)]
        rows.sort(key=lambda item: _ORDER[item[2].name])  # stable
        self._slots = [[0] * len(keys) for keys in self._keys]
        for slot, (place, row, _, _) in enumerate(rows):
            self._slots[place][row] = slot
        self._layout = _lay_out([(family, key) for _, _, family, key in rows])

    def render(self) -> Block:
        """Return the text."""
        return self._layout.render()


def _lay_out(keys: Sequence[tuple[Family, tuple[str, ...]]]) -> Layout:
    """Return the layout of these samples, which stand family by family."""
    families = {family.name: family for family, _ in keys}
    return Layout((family, [key for other, key in keys if other is family]) for family in families.values())


def _group_rows(group: GroupState, boot: float) -> list[_Row]:
    name, sums = group.name, group.sums
    rows: list[_Row] = [(HIDDEN, (name, field), count) for field, count in group.hidden]
    if sums is None:
        return rows
    rows += [(GROUP_STATES, (name, state), count) for state, count in zip(STATES, sums.states, strict=True)]
    rows += [(CPU, (name, "user"), group.user_seconds), (CPU, (name, "system"), group.system_seconds)]
    start = None if sums.start is None else round(boot + sums.start / TICKS_PER_SECOND, 2)
    ratio = None if sums.open_files_ratio is None else round(sums.open_files_ratio, 6)
    values = (
        (PROCESSES, sums.processes),
        (THREADS, sums.threads),
        (RESIDENT, sums.resident),
        (VIRTUAL, sums.virtual),
        (SWAP, sums.swap),
        (READ, group.read_bytes),
        (WRITTEN, group.written_bytes),
        (OPEN_FILES, sums.open_files),
        (FILES_RATIO, ratio),
        (START, start),
    )
    return rows + [(family, (name,), value) for family, value in values if value is not None]
