"""The processes that are known, and what is new of them: as little is read as will do.

The CPU clock of each is asked at each scan: a system call of a microsecond that needs no file and no permission. Only
where it moved has the process run, and only then can its times, threads, state, address space and open files differ.
Resident memory can shrink by the kernel's own doing: those that did not run are read by turns, all within a minute.
"""

import errno
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from exporter.exposition import text_of
from exporter.kernel import KernelError
from exporter.processes.procfs import TICK_NANOSECONDS, TICKS_PER_SECOND, ProcFs, Stat, clock_of, parse_stat

MAX_PROCESSES: Final = 65536
"""More than that are not looked at: memory is bounded."""

TURN_SECONDS: Final = 60
"""Within this time every process is read, whether it ran or not."""

_GONE: Final = frozenset({errno.ENOENT, errno.ESRCH, errno.EINVAL})  # the last is that of a clock
_HIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})


class Process:
    """One process, from the scan that saw it first to the one that does not find it any more."""

    __slots__ = (
        "born",
        "clock",
        "clock_used",
        "doubts",
        "group",
        "hidden",
        "io",
        "io_moved",
        "limit",
        "name",
        "open_files",
        "pid",
        "scan",
        "stat",
        "swap",
        "system_used",
        "user_used",
    )

    def __init__(self, pid: int, scan: int, clock: int, stat: Stat, *, born: bool) -> None:
        self.pid = pid
        self.scan = scan
        """Number of the scan that saw it first."""
        self.born = born
        """Whether it started since the scan before that: all that it used was used since."""
        self.clock = clock
        """CPU time in nanoseconds."""
        self.stat = stat
        self.name = name_of(stat)
        """As it stands in the top list."""
        self.clock_used = clock if born else 0
        """Nanoseconds since the scan before."""
        self.user_used = stat.user if born else 0
        """Ticks since the scan before; likewise the next."""
        self.system_used = stat.system if born else 0
        self.group: int | None = None
        self.doubts: tuple[tuple[int, str], ...] = ()
        self.io: tuple[int, int] | None = None
        """Bytes read and written, while somebody wants to know."""
        self.io_moved: tuple[int, int] | None = (0, 0)
        """The same since the scan before; None when they were not known then."""
        self.open_files: int | None = None
        self.limit: int | None = None
        self.swap: int | None = None
        self.hidden: frozenset[str] = frozenset()
        """What permissions hide of it."""

    def renew(self, clock: int, stat: Stat) -> None:
        """Take what was read now; what was used can only have grown."""
        old = self.stat
        self.clock_used = max(clock - self.clock, 0)
        self.user_used = max(stat.user - old.user, 0)
        self.system_used = max(stat.system - old.system, 0)
        self.clock = clock
        self.stat = stat


class Changes(NamedTuple):
    """What one scan found. `fresh` and `read` are disjoint."""

    scan: int
    elapsed: float | None
    """Seconds since the scan before; None for the first."""
    fresh: list[Process]
    read: list[Process]
    """Read again, because they ran or by turns; with the name that they had."""
    renamed: list[tuple[Process, str]]
    """Of those that were read: which have another name now, and the one before."""
    ended: list[Process]
    turn: int
    turns: int
    exact: bool
    """Whether clocks tell who has run; else everybody may have."""
    complete: bool = True
    """False when permissions hide processes: then there is no sum of all."""

    def seen(self) -> "list[Process]":
        """Return those that were read at this scan, new or not."""
        return self.fresh + self.read

    def is_turn_of(self, process: Process) -> bool:
        """Whether a process is read at this scan even if it has not run."""
        return process.pid % self.turns == self.turn

    def has_run(self, process: Process) -> bool:
        """Whether a process that was read may have run since the scan before."""
        return process.clock_used > 0 or not self.exact


class Clocks(NamedTuple):
    """The clocks that the table goes by."""

    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    process: Callable[[int], int] | None = time.clock_gettime_ns
    """Nanoseconds of a clock_of(pid); None where pids are not those of our own system calls."""


class Table:
    """Every process that is listed; used by one thread."""

    def __init__(self, proc: ProcFs, interval: float, clocks: Clocks) -> None:
        self._proc = proc
        self._clocks = clocks
        self._turns = max(round(TURN_SECONDS / interval), 1)
        self._scan = 0
        self._boot_ticks: int | None = None
        self._monotonic = 0.0
        self.processes: dict[int, Process] = {}

    def update(self) -> Changes:
        """Look at every process once. Raises KernelError when /proc cannot be listed or holds something else."""
        boot_ticks = int(self._clocks.boot() * TICKS_PER_SECOND)
        monotonic = self._clocks.monotonic()
        pids = self._proc.pids()
        if len(pids) > MAX_PROCESSES:
            raise KernelError(f"{self._proc.root}: expected at most {MAX_PROCESSES} processes, got {len(pids)}")
        elapsed = None if self._boot_ticks is None else monotonic - self._monotonic
        self._scan += 1
        exact = self._clocks.process is not None
        changes = Changes(self._scan, elapsed, [], [], [], [], self._scan % self._turns, self._turns, exact)
        for pid in self.processes.keys() - set(pids):
            changes.ended.append(self.processes.pop(pid))
        seen = self._look(pids, changes)
        self._boot_ticks, self._monotonic = boot_ticks, monotonic
        # process 1 is there in each namespace: when it is not listed, others are not either (hidepid=2)
        return changes._replace(complete=seen and (not pids or 1 in self.processes))

    def _look(self, pids: list[int], changes: Changes) -> bool:
        """Ask each clock, and read what has to be read. Returns False when that was not allowed of some."""
        known, clock_ns, turns, turn = self.processes, self._clocks.process, self._turns, changes.turn
        allowed = True
        for pid in pids:
            process = known.get(pid)
            try:
                # the clock first: what the process uses between the two readings shows at the next scan
                clock = clock_ns(clock_of(pid)) if clock_ns is not None else -1
                if process is not None and clock == process.clock and pid % turns != turn:
                    continue
                stat = parse_stat(self._proc.read(pid, "stat"))
            except OSError as err:
                if err.errno in _HIDDEN:
                    allowed = False
                elif err.errno not in _GONE:
                    raise KernelError(f"{self._proc.path(pid, 'stat')}: {err.strerror}") from err
                elif process is not None:
                    changes.ended.append(known.pop(pid))
                continue
            if clock < 0:
                clock = (stat.user + stat.system) * TICK_NANOSECONDS
            self._take(pid, process, clock, stat, changes)
        return allowed

    def _take(self, pid: int, process: Process | None, clock: int, stat: Stat, changes: Changes) -> None:
        if process is not None and process.stat.start != stat.start:  # the pid is somebody else's now
            changes.ended.append(process)
            process = None
        if process is None:
            born = self._boot_ticks is not None and stat.start >= self._boot_ticks
            self.processes[pid] = process = Process(pid, self._scan, clock, stat, born=born)
            changes.fresh.append(process)
            return
        name = process.stat.name
        process.renew(clock, stat)
        changes.read.append(process)
        if name != stat.name:
            before, process.name = process.name, name_of(stat)
            changes.renamed.append((process, before))


def name_of(stat: Stat) -> str:
    """Return the name that a process is summed up under: a kernel thread's up to its number or device."""
    name = text_of(stat.name)
    if stat.kernel:
        name = name.partition("/")[0]
    return name or "(nameless)"
