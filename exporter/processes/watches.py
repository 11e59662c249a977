"""How many processes of a match run: what checks of processes ask."""

from collections.abc import Iterable

from exporter.processes.groups import ENDED
from exporter.processes.matching import Identity, Matcher
from exporter.processes.table import Process
from exporter.settings.processes import Match


class _Watch:
    """One match, and the processes that it is about."""

    __slots__ = ("doubtful", "matcher", "members")

    def __init__(self, match: Match) -> None:
        self.matcher = Matcher(match)
        self.members: set[Process] = set()
        self.doubtful: set[Process] = set()

    def count(self) -> int | None:
        """Return how many run, zombies not counted; None where a hidden field leaves that open."""
        if any(process.stat.state not in ENDED for process in self.doubtful):
            return None
        return sum(process.stat.state not in ENDED for process in self.members)


class Watches:
    """All matches that are watched; each process counts for every one that it matches."""

    def __init__(self, matches: Iterable[Match] = ()) -> None:
        self._watches = {match: _Watch(match) for match in matches}
        self._found: dict[Process, list[_Watch]] = {}

    @property
    def matches(self) -> tuple[Match, ...]:
        """What is watched."""
        return tuple(self._watches)

    @property
    def fields(self) -> frozenset[str]:
        """What is looked at to tell."""
        return frozenset(field for watch in self._watches.values() for field in watch.matcher.fields)

    def judge(self, process: Process, identity: Identity) -> None:
        """Take a process up wherever it matches, and out of where it did."""
        self.remove(process)
        for watch in self._watches.values():
            verdict = watch.matcher.judge(identity)
            if verdict.matches or verdict.hidden:
                (watch.doubtful if verdict.hidden else watch.members).add(process)
                self._found.setdefault(process, []).append(watch)

    def remove(self, process: Process) -> None:
        """Take a process out."""
        for watch in self._found.pop(process, ()):
            watch.members.discard(process)
            watch.doubtful.discard(process)

    def counts(self) -> dict[Match, int | None]:
        """Return the number of each match."""
        return {match: watch.count() for match, watch in self._watches.items()}
