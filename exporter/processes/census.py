"""One scan after the other: what is new is read, told apart and counted."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from exporter.processes.blocking import BlockingFiles
from exporter.processes.details import Details
from exporter.processes.groups import ENDED, Groups
from exporter.processes.identity import Identities
from exporter.processes.matching import Matcher, first_match
from exporter.processes.procfs import ProcFs
from exporter.processes.scan import Scan
from exporter.processes.table import Changes, Clocks, Process, Table
from exporter.processes.top import Names
from exporter.processes.watches import Watches
from exporter.settings.exporter import Paths
from exporter.settings.processes import Match, ProcessGroupsSettings

# a file that does not answer in this time holds up the scan no longer
BLOCKED_SECONDS: Final = 1.0

# between fork and exec a process has its parent's name and command line: it is asked again at its next scans
_YOUNG_SCANS: Final = 2


class Census:
    """Knows the processes from one scan to the next; used by one thread."""

    def __init__(
        self,
        settings: ProcessGroupsSettings,
        paths: Paths,
        *,
        proc: ProcFs | None = None,
        clocks: Clocks | None = None,
        blocking: BlockingFiles | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Look below paths.procfs, and for users' names below paths.rootfs."""
        self._settings = settings
        self._proc = ProcFs(paths.procfs) if proc is None else proc
        if clocks is None:
            clocks = Clocks() if self._proc.is_of_our_pids() else Clocks(process=None)
        self._clocks = clocks
        self._wall = wall
        self._boot = 0.0
        self._blocking = blocking or BlockingFiles(BLOCKED_SECONDS)
        self._identities = Identities(self._proc, Path(paths.rootfs) / "etc/passwd", self._blocking)
        self._groups = Groups([group.name for group in settings.groups])
        self._matchers = [Matcher(group.match) for group in settings.groups]
        self._has_io: bool | None = None
        self.watch(())
        self.reset()

    def close(self) -> None:
        """Let the threads end."""
        self._blocking.close()

    def reset(self) -> None:
        """Forget every process but not what groups have counted: after a scan that broke off halfway."""
        self._table = Table(self._proc, self._settings.interval, self._clocks)
        self._names = Names(self._settings.top)
        self._details = Details(self._proc, self._blocking)
        self._groups.clear()
        self.watch(self._watches.matches)

    def watch(self, matches: Iterable[Match]) -> None:
        """Count the processes of these matches too, from the next scan on."""
        self._watches = Watches(matches)
        self._fields = self._watches.fields.union(*(matcher.fields for matcher in self._matchers))
        self._ask_all = True

    def scan(self) -> Scan:
        """Look at every process. Raises KernelError when /proc is not the kernel's: call `reset` then."""
        monotonic, wall, boot = self._clocks.monotonic(), self._wall(), self._clocks.boot()
        if abs(wall - boot - self._boot) > 1:  # start times stay the same from scan to scan, but when the clock is set
            self._boot = wall - boot
        if self._has_io is None:
            self._has_io = self._proc.has_io()
        changes = self._table.update()
        self._file_names(changes)
        self._read_details(changes, self._place(changes))
        for process in changes.seen():
            self._groups.count_cpu(process)
        for process in self._details.moved:
            self._groups.count_io(process)
        top = self._names.rank(changes.elapsed)
        seconds = self._clocks.monotonic() - monotonic
        scan = Scan(monotonic, wall, self._boot, seconds, len(self._table.processes), changes.complete)
        if not changes.complete:
            return scan
        groups, counts = self._groups.states(has_io=self._has_io), self._watches.counts()
        return scan._replace(
            top_cpu=top.by_cpu,
            other_cores=top.other_cores,
            top_memory=top.by_memory,
            other_resident=top.other_resident,
            groups=groups,
            counts=counts,
        )

    def _file_names(self, changes: Changes) -> None:
        for process, before in changes.renamed:
            self._names.remove(process, before)
            self._names.add(process)
        for process in changes.ended:
            self._names.remove(process, process.name)
            self._groups.remove(process)
            self._watches.remove(process)
        for process in changes.fresh:
            self._names.add(process)
        for process in changes.seen():
            self._names.count(process)

    def _place(self, changes: Changes) -> list[Process]:
        """Tell where processes belong, new ones and such as may be another program now; return those that moved in."""
        if not self._fields:
            return []
        due, self._ask_all = self._due(changes), False
        moved_in = []
        for process, identity in zip(due, self._identities.read(due, self._fields), strict=True):
            if identity is None:
                continue  # it has ended, which the next scan will see
            self._watches.judge(process, identity)
            if self._groups.place(process, first_match(self._matchers, identity)):
                moved_in.append(process)
        return moved_in

    def _due(self, changes: Changes) -> list[Process]:
        if self._ask_all:
            return list(self._table.processes.values())
        renamed = {process for process, _ in changes.renamed}
        more = self._fields != {"name"}  # a name that changes tells of itself
        due = [
            process
            for process in changes.read
            if process in renamed or (more and (changes.is_turn_of(process) or _is_young(process, changes)))
        ]
        # of what an ended one was, only the name is left to be seen
        return changes.fresh + [process for process in due if not more or process.stat.state not in ENDED]

    def _read_details(self, changes: Changes, moved_in: Sequence[Process]) -> None:
        self._details.inherit(changes, self._table.processes)
        new = {*changes.fresh, *moved_in}
        mine = {process for process in (*changes.seen(), *moved_in) if process.group is not None}
        self._details.read_io(changes, mine.union(self._names.members(self._names.watched)))
        self._details.read_open_files(process for process in mine if changes.has_run(process) or process in new)
        by_turns = [process for process in mine if changes.is_turn_of(process) or process in new]
        self._details.read_swap(by_turns)
        self._details.read_limits(by_turns, changes)


def _is_young(process: Process, changes: Changes) -> bool:
    return process.clock_used > 0 and changes.scan - process.scan <= _YOUNG_SCANS
