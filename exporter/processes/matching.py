"""Which group a process belongs to, by what can be seen of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from exporter.settings.processes import Match

Identity = Mapping[str, tuple[str, ...] | None]
"""By field of Match: the texts that its expression may match (any of them), None where permissions hide them."""

FIELDS: Final = Match.__struct_fields__
# these are found anywhere, the others must match as a whole
_ANYWHERE: Final = frozenset({"command_line", "cgroup"})

_UNITS: Final = (".service", ".scope", ".socket", ".mount", ".swap")


class Verdict(NamedTuple):
    """What became of one process and one match."""

    matches: bool
    hidden: str = ""
    """The field that had to be seen to tell; empty where it can be told."""


_NO: Final = Verdict(matches=False)
_YES: Final = Verdict(matches=True)


class Matcher:
    """A match, ready to judge."""

    def __init__(self, match: Match) -> None:
        self._tests: list[tuple[str, Callable[[str], object]]] = []
        for field in FIELDS:
            regex = getattr(match, field)
            if regex is not None:
                pattern = re.compile(regex, re.DOTALL)  # a line end in a name must not hide it from ".*"
                self._tests.append((field, pattern.search if field in _ANYWHERE else pattern.fullmatch))

    @property
    def fields(self) -> frozenset[str]:
        """What it looks at."""
        return frozenset(field for field, _ in self._tests)

    def judge(self, identity: Identity) -> Verdict:
        """Return whether a process matches, or which hidden field leaves that open."""
        hidden = ""
        for field, test in self._tests:
            texts = identity[field]
            if texts is None:
                hidden = hidden or field
            elif not any(test(text) for text in texts):
                return _NO
        return Verdict(matches=False, hidden=hidden) if hidden else _YES


class Place(NamedTuple):
    """Where a process belongs."""

    group: int | None
    """The first group that it matches; None where it is in none, or that cannot be told."""
    doubts: tuple[tuple[int, str], ...]
    """Groups that it may belong to, each with the field that would have to be seen."""


def first_match(matchers: Sequence[Matcher], identity: Identity) -> Place:
    """Return the first group that a process matches; a hidden field before it leaves open which of them it is."""
    doubts: list[tuple[int, str]] = []
    for number, matcher in enumerate(matchers):
        verdict = matcher.judge(identity)
        if verdict.hidden:
            doubts.append((number, verdict.hidden))
        elif verdict.matches:
            if not doubts:
                return Place(number, ())
            return Place(None, (*doubts, (number, doubts[0][1])))
    return Place(None, tuple(doubts))


def unit_of(path: str) -> str | None:
    """Return systemd's unit of a control group's path: the first part that is one behind the slices.

    The manager of a user's units is the unit of all that runs below it, as for systemd itself.
    """
    for part in path.split("/")[1:]:
        # a container with a cgroup namespace of its own sees what is outside by ".." (cgroup_namespaces(7))
        if part != ".." and not part.endswith(".slice"):
            # a name that a control group cannot have has an underscore in front (systemd, cg_escape)
            name = part.removeprefix("_")
            return name if name.endswith(_UNITS) else None
    return None


def parse_users(text: bytes) -> dict[int, str]:
    """Return the names of passwd(5) by number; the first line of a number counts, what is no user's line does not."""
    names: dict[int, str] = {}
    for line in text.splitlines():
        fields = line.split(b":")
        if len(fields) >= 4 and fields[2].isdigit():
            names.setdefault(int(fields[2]), fields[0].decode(errors="backslashreplace"))
    return names
