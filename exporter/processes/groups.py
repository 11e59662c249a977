"""What the processes of a group use together. Counters keep what was seen of those that have ended."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from exporter.processes.details import IO, OPEN_FILES, SWAP
from exporter.processes.matching import Place
from exporter.processes.procfs import TICKS_PER_SECOND
from exporter.processes.table import Process

STATES: Final = ("running", "sleeping", "uninterruptible", "stopped", "zombie", "idle", "other")
# fs/proc/array.c, task_state_array; X (dead) and what older kernels had beside are others
_STATE: Final = {
    b"R": "running",
    b"S": "sleeping",
    b"D": "uninterruptible",
    b"T": "stopped",
    b"t": "stopped",
    b"Z": "zombie",
    b"I": "idle",
}
ENDED: Final = frozenset({b"Z", b"X", b"x"})
"""States of what does not run any more, but waits for its parent."""


class Sums(NamedTuple):
    """What is summed up over the members of a group now; None where permissions hide it of one of them."""

    processes: int
    resident: int
    virtual: int
    swap: int | None
    threads: int
    open_files: int | None
    open_files_ratio: float | None
    """The highest of any member; None too where none has a limit."""
    states: tuple[int, ...]
    """How many members are in each of STATES."""
    start: int | None
    """Ticks from boot to the start of the oldest; None without members."""


class GroupState(NamedTuple):
    """One group, as a scan found it."""

    name: str
    sums: Sums | None
    """None when permissions leave open who belongs to it; then there are no counters either."""
    user_seconds: float
    system_seconds: float
    read_bytes: int | None
    """None where permissions hide it of a member, and where the kernel does not count it."""
    written_bytes: int | None
    hidden: tuple[tuple[str, int], ...]
    """Fields, and of how many processes each is hidden."""


class Group:
    """The members of a group and what they used while hostwatch looked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: set[Process] = set()
        self._doubts: dict[Process, str] = {}
        self._user = 0
        self._system = 0
        self._read = 0
        self._written = 0
        self._sums: Sums | None = None
        self._hidden: Counter[str] = Counter()
        self._state: GroupState | None = None

    def touch(self) -> None:
        """Note that a member is not as it was."""
        self._sums = self._state = None

    def add(self, process: Process) -> None:
        """Take a member in."""
        self.members.add(process)
        self.touch()

    def remove(self, process: Process) -> None:
        """Let a member go; what it used stays."""
        self.members.discard(process)
        self._doubts.pop(process, None)
        self.touch()

    def clear(self) -> None:
        """Let all members go."""
        self.members.clear()
        self._doubts.clear()
        self.touch()

    def doubt(self, process: Process, field: str) -> None:
        """Note that a process may be a member, which only a hidden field would tell."""
        self._doubts[process] = field
        self._state = None

    def count_cpu(self, process: Process) -> None:
        """Add what a member used since the scan before."""
        self._user += process.user_used
        self._system += process.system_used

    def count_io(self, process: Process) -> None:
        """Add what a member read and wrote since the scan before."""
        if process.io_moved is not None:
            self._read += process.io_moved[0]
            self._written += process.io_moved[1]
            self._state = None

    def state(self, *, has_io: bool) -> GroupState:
        """Return the group as it is now: the same object as long as it is as it was."""
        if self._state is not None:
            return self._state
        if self._sums is None:
            self._sums = sum_up(self.members)
            self._hidden = Counter(field for process in self.members for field in process.hidden)
        known = has_io and not self._hidden[IO]
        hidden = self._hidden + Counter(self._doubts.values())
        self._state = GroupState(
            self.name,
            None if self._doubts else self._sums,
            self._user / TICKS_PER_SECOND,
            self._system / TICKS_PER_SECOND,
            self._read if known else None,
            self._written if known else None,
            tuple(sorted(hidden.items())),
        )
        return self._state


class Groups:
    """All groups, in the order of the settings."""

    def __init__(self, names: Sequence[str]) -> None:
        self._groups = [Group(name) for name in names]

    def clear(self) -> None:
        """Let all members go; what they used stays."""
        for group in self._groups:
            group.clear()

    def place(self, process: Process, place: Place) -> bool:
        """Put a process where it belongs, out of where it was; return whether it has come into a group."""
        if place == (process.group, process.doubts):
            return False
        self.remove(process)
        process.group, process.doubts = place
        if place.group is not None:
            self._groups[place.group].add(process)
        for number, field in place.doubts:
            self._groups[number].doubt(process, field)
        return place.group is not None

    def remove(self, process: Process) -> None:
        """Take a process out."""
        for number in (process.group, *(number for number, _ in process.doubts)):
            if number is not None:
                self._groups[number].remove(process)

    def count_cpu(self, process: Process) -> None:
        """Add what a process used to its group's counters; it is not as it was in any case."""
        if process.group is not None:
            group = self._groups[process.group]
            group.count_cpu(process)
            group.touch()

    def count_io(self, process: Process) -> None:
        """Add what a process read and wrote to its group's counters."""
        if process.group is not None:
            self._groups[process.group].count_io(process)

    def states(self, *, has_io: bool) -> tuple[GroupState, ...]:
        """Return every group as it is now."""
        return tuple(group.state(has_io=has_io) for group in self._groups)


def sum_up(members: set[Process]) -> Sums:
    """Return the sums over the members of a group."""
    resident = virtual = threads = swap = open_files = 0
    ratio = 0.0
    limited = False
    hidden: set[str] = set()
    states: Counter[str] = Counter()
    for process in members:
        stat = process.stat
        resident += stat.resident
        virtual += stat.virtual
        threads += stat.threads
        swap += process.swap or 0
        states[_STATE.get(stat.state, "other")] += 1
        if process.hidden:
            hidden |= process.hidden
        if process.open_files is not None:
            open_files += process.open_files
            if process.limit:
                limited = True
                ratio = max(ratio, process.open_files / process.limit)
    counted = OPEN_FILES not in hidden
    return Sums(
        len(members),
        resident,
        virtual,
        None if SWAP in hidden else swap,
        threads,
        open_files if counted else None,
        ratio if counted and limited else None,
        tuple(states[state] for state in STATES),
        min((process.stat.start for process in members), default=None),
    )
