"""The dearer fields: bytes read and written, open files, swap. Read of those only whom somebody asks about.

A parent's /proc/PID/io grows by all that a child had read and written when the parent waits for its end
(kernel/exit.c, wait_task_zombie). What was counted when the child did it is taken out again: no byte counts twice.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from exporter.processes.blocking import Answer, BlockingFiles
from exporter.processes.procfs import NO_PROCESS, ProcFs, parse_io, parse_limit, parse_swap
from exporter.processes.table import Changes, Process

IO: Final = "io"
OPEN_FILES: Final = "open_files"
SWAP: Final = "swap"

# a limit changes hardly ever: every so many turns
_LIMIT_TURNS: Final = 10


class _Legacy(NamedTuple):
    """What a process inherits from children, and how many page faults with it: these show that it has waited."""

    read: int
    written: int
    faults: int
    scan: int


class Details:
    """Reads the dear fields; used by one thread."""

    def __init__(self, proc: ProcFs, blocking: BlockingFiles) -> None:
        self._proc = proc
        self._blocking = blocking
        self._legacies: dict[Process, _Legacy] = {}
        self._faults: dict[Process, int] = {}
        self.moved: list[Process] = []
        """Those whose io_moved is of this scan; of all others it is nothing."""

    def inherit(self, changes: Changes, living: Mapping[int, Process]) -> None:
        """Note what the parents of the ended ones get from them."""
        dead = {process.pid: process for process in changes.ended}
        for process in changes.ended:
            legacy = self._legacies.pop(process, _Legacy(0, 0, 0, 0))
            self._faults.pop(process, None)
            heir = _heir(process, dead, living)
            if process.io is None or heir is None or heir.io is None:
                continue
            had = self._legacies.get(heir, _Legacy(0, 0, 0, 0))
            self._legacies[heir] = _Legacy(
                had.read + legacy.read + process.io[0],
                had.written + legacy.written + process.io[1],
                had.faults + legacy.faults + process.stat.faults,
                changes.scan,
            )

    def read_io(self, changes: Changes, wanted: Collection[Process]) -> None:
        """Read the bytes of those wanted, as far as they have run; the others' are known no more."""
        for process in self.moved:
            process.io_moved = (0, 0)
        self.moved = []
        for process in changes.seen():
            if process not in wanted:
                self._forget(process)
        due = [process for process in wanted if _io_is_due(process, changes)]
        answers = self._blocking.read([self._proc.path(process.pid, "io") for process in due])
        for process, answer in zip(due, answers, strict=True):
            self._take_io(process, answer, changes)

    def _forget(self, process: Process) -> None:
        process.io = None
        self._legacies.pop(process, None)
        self._faults.pop(process, None)

    def _take_io(self, process: Process, answer: Answer, changes: Changes) -> None:
        if isinstance(answer, NO_PROCESS):
            return
        if not isinstance(answer, bytes):
            process.hidden |= {IO}
            self._forget(process)
            return
        process.hidden -= {IO}
        io = parse_io(answer)
        if process.io is not None:
            read, written = self._inherited(process, changes.scan)
            process.io_moved = max(io[0] - process.io[0] - read, 0), max(io[1] - process.io[1] - written, 0)
        else:
            process.io_moved = io if process.born and process.scan == changes.scan else None
        process.io = io
        if process not in self._legacies:
            self._faults[process] = process.stat.child_faults
        self.moved.append(process)

    def _inherited(self, process: Process, scan: int) -> tuple[int, int]:
        """Return what came from children that the process has waited for since its bytes were read last."""
        legacy = self._legacies.get(process)
        if legacy is None:
            return 0, 0
        waited = process.stat.child_faults - self._faults.get(process, 0) >= legacy.faults
        if not waited and legacy.scan >= scan - 1:
            return 0, 0  # it may wait yet
        del self._legacies[process]
        return (legacy.read, legacy.written) if waited else (0, 0)

    def read_open_files(self, processes: Iterable[Process]) -> None:
        """Count the open files of each."""
        for process in processes:
            process.hidden -= {OPEN_FILES}
            try:
                process.open_files = self._proc.open_files(process.pid)
            except NO_PROCESS:
                pass
            except OSError:
                process.open_files = None
                process.hidden |= {OPEN_FILES}

    def read_swap(self, processes: Collection[Process]) -> None:
        """Read what is swapped out of each; nothing is while the machine swaps nothing."""
        if not processes:
            return
        used = self._proc.swap_is_used()
        for process in processes:
            process.hidden -= {SWAP}
            try:
                process.swap = parse_swap(self._proc.read(process.pid, "status")) if used else 0
            except NO_PROCESS:
                pass
            except OSError:
                process.swap = None
                process.hidden |= {SWAP}

    def read_limits(self, processes: Iterable[Process], changes: Changes) -> None:
        """Read how many files each may open: of new ones, and of all every ten minutes."""
        round_ = changes.scan // changes.turns
        for process in processes:
            if process.limit is None or (round_ + process.pid) % _LIMIT_TURNS == 0:
                try:
                    process.limit = parse_limit(self._proc.read(process.pid, "limits"))
                except OSError:
                    process.limit = None


def _io_is_due(process: Process, changes: Changes) -> bool:
    """Whether a process' bytes can differ from what is known, or are not known; what is hidden is asked by turns."""
    if IO in process.hidden:
        return changes.is_turn_of(process)
    return process.io is None or changes.has_run(process)


def _heir(process: Process, dead: Mapping[int, Process], living: Mapping[int, Process]) -> Process | None:
    """Return who gets what a process leaves: its parent, or the first above it that lives; else process 1."""
    parent = process.stat.parent
    for _ in range(len(dead) + 1):
        found = living.get(parent)
        if found is not None and found.stat.start <= process.stat.start:  # else that pid is somebody else's now
            return found
        if parent not in dead:
            break
        parent = dead[parent].stat.parent
    # a parent that ended earlier: process 1 has adopted it, which does not show as long as it does not run
    return living.get(1)
