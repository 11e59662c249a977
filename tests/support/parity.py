"""Our page beside node_exporter's: the versions of Debian 12 and 13, all three with their defaults, side by side.

What may differ stands in tests/fixtures/parity/exceptions.yaml; each line of it must be needed.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import yaml

from tests.support import debian13
from tests.support.peer import Exporter, Hostwatch, families_in
from tests.support.trees import Series

EXCEPTIONS: Final = Path(__file__).parents[1] / "fixtures/parity/exceptions.yaml"
VERSIONS: Final = ("1.5", "1.9")
# within these a gauge is met at a quiet moment, and a mount or a device that just came is seen by all
ROUNDS_SECONDS: Final = 30
# the kernel lets idle and iowait fall a little (Documentation/filesystems/proc.rst, iowait), and each exporter holds
# the highest value that it saw itself
JITTER_SECONDS: Final = 0.05
# of the families about the machine
MOST_EXCEPTIONS: Final = 0.05

Values = dict[Series, float]

_SAMPLE: Final = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def values_in(page: bytes) -> Values:
    """Return value by name and labels, as escaped on the page; an empty label counts as absent.

    Many times faster than prometheus_client's parser: a gauge is met the sooner, the more rounds there are.
    """
    values: Values = {}
    for line in page.decode().splitlines():
        if line and not line.startswith("#"):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            values[match[1], frozenset(pair for pair in _LABEL.findall(match[2] or "") if pair[1])] = float(match[3])
    return values


class NodeExporter15(Exporter):
    """Debian 12's node_exporter with its defaults."""

    command = ("prometheus-node-exporter", "--web.listen-address=127.0.0.1:PORT")


class NodeExporter19(Exporter):
    """Debian 13's node_exporter with its defaults."""

    command = (str(debian13.find("prometheus-node-exporter")), "--web.listen-address=127.0.0.1:PORT")


class Scrape(NamedTuple):
    """Three pages taken one right after the other: both of node_exporter's, and ours."""

    theirs: Mapping[str, bytes]
    """By version."""
    ours: bytes


@dataclass
class Trio:
    """The three of them, running."""

    theirs: Mapping[str, Exporter]
    ours: Exporter

    def scrape(self) -> Scrape:
        """Return the three pages."""
        return Scrape({version: exporter.page() for version, exporter in self.theirs.items()}, self.ours.page())


@contextlib.contextmanager
def running(theirs: Iterable[str] = (), ours: Iterable[str] = ()) -> Iterator[Trio]:
    """Run all three with their defaults, but for more arguments; end them."""
    with NodeExporter15(*theirs) as older, NodeExporter19(*theirs) as newer, Hostwatch(*ours) as hostwatch:
        yield Trio(dict(zip(VERSIONS, (older, newer), strict=True)), hostwatch)


@contextlib.contextmanager
def running_with_textfiles(folder: Path, settings: Path) -> Iterator[Trio]:
    """Run all three with that folder of text files; `settings` is written for ours."""
    settings.write_text(f"collectors: {{textfile: {{directories: [{folder}]}}}}\n")
    with running([f"--collector.textfile.directory={folder}"], ["--config", str(settings)]) as trio:
        yield trio


@dataclass
class Exceptions:
    """What may differ, and which of it was needed so far."""

    rows: list[dict[str, Any]]
    needed: set[int] = field(default_factory=set)

    @classmethod
    def load(cls) -> Self:
        """Read the written exceptions."""
        document: dict[str, list[dict[str, Any]]] = yaml.safe_load(EXCEPTIONS.read_text())
        return cls([{**row, "kind": kind} for kind, rows in document.items() for row in rows])

    def allows(self, kind: str, name: str) -> bool:
        """Whether an exception of that kind matches the name."""
        found = [n for n, row in enumerate(self.rows) if row["kind"] == kind and re.fullmatch(row["name"], name)]
        self.needed.update(found)
        return bool(found)

    def labels(self, kind: str, family: str) -> set[str]:
        """Return the labels of a family that an exception of that kind names."""
        return {row["label"] for row in self.rows if row["kind"] == kind and row["family"] == family}

    def need_label(self, kind: str, family: str, labels: Iterable[str]) -> None:
        """Note that the exceptions about these labels are needed."""
        wanted = {(kind, family, label) for label in labels}
        self.needed.update(
            n for n, row in enumerate(self.rows) if (row["kind"], row.get("family"), row.get("label")) in wanted
        )

    def tolerance(self, family: str) -> float:
        """Return by how much values of the family may be off since they count the reader."""
        return max((row["by"] for row in self.rows if row["kind"] == "readers" and row["name"] == family), default=0)

    @property
    def idle(self) -> list[str]:
        """What nothing needed."""
        return [str(row) for n, row in enumerate(self.rows) if n not in self.needed and not row.get("somewhere")]


@dataclass
class Figure:
    """How many of one version's families and series are ours too."""

    version: str
    families: int
    families_ours: int
    foreign: int
    series: int
    series_ours: int

    def __str__(self) -> str:
        return (
            f"node_exporter {self.version}: families {self.families_ours}/{self.families}, "
            f"series {self.series_ours}/{self.series}, and {self.foreign} families of Go's own"
        )


def without(key: Series, labels: Iterable[str]) -> Series:
    """Return the series less some labels."""
    name, pairs = key
    return name, frozenset(pair for pair in pairs if pair[0] not in set(labels))


class Comparison:
    """What differs between the pages of one moment."""

    def __init__(self, scrape: Scrape, exceptions: Exceptions) -> None:
        self.problems: list[str] = []
        self.figures: list[Figure] = []
        self._exceptions = exceptions
        self._ours = values_in(scrape.ours)
        self._types = families_in(scrape.ours)
        for version, page in scrape.theirs.items():
            self._look_for_theirs(version, page)
        self._look_for_extras(scrape)

    def _look_for_theirs(self, version: str, page: bytes) -> None:
        types, theirs = families_in(page), values_in(page)
        foreign = {name for name in types if self._exceptions.allows("foreign", name)}
        lost = [name for name in types.keys() - self._types.keys() - foreign if self._lacks(name)]
        self.problems += [f"{version} has family {name}" for name in lost]
        both = types.keys() & self._types.keys()
        self.problems += [
            f"{n} is {types[n]} in {version}, {self._types[n]} here" for n in both if types[n] != self._types[n]
        ]
        wanted = {key for key in theirs if _family(key, types) not in foreign}
        found = {key for key in wanted if key in self._ours or self._has_grown(key)}
        for key in wanted - found:
            if _family(key, types) in both and not self._is_excused(key):
                self.problems.append(f"{version} has series {show(key)}")
        count = len(types) - len(foreign)
        self.figures.append(Figure(version, count, len(both), len(foreign), len(wanted), len(found)))

    def _lacks(self, family: str) -> bool:
        return not self._exceptions.allows("families", family)

    def _has_grown(self, key: Series) -> bool:
        """Whether ours has it with a label that its version does not know yet."""
        names = self._exceptions.labels("grown", key[0])
        return key == without(key, names) and self._matches("grown", key, names)

    def _is_excused(self, key: Series) -> bool:
        if key[0].startswith("node_scrape_collector_"):
            return self._exceptions.allows("collectors", dict(key[1])["collector"])
        return self._matches("labels", key, self._exceptions.labels("labels", key[0]))

    def _matches(self, kind: str, key: Series, names: set[str]) -> bool:
        """Whether one of ours is the same but for these labels."""
        for mine in self._ours if names else ():
            if mine[0] == key[0] and without(mine, names) == without(key, names):
                self._exceptions.need_label(kind, key[0], {pair[0] for pair in mine[1] ^ key[1]})
                return True
        return False

    def _look_for_extras(self, scrape: Scrape) -> None:
        """Look for node_* series that no version has."""
        theirs = {key for page in scrape.theirs.values() for key in values_in(page)}
        known = theirs | {without(key, self._exceptions.labels("labels", key[0])) for key in theirs}
        for key in self._ours:
            if not key[0].startswith("node_") or key in theirs:
                continue
            if without(key, self._exceptions.labels("labels", key[0])) in known:
                continue
            if not (
                key[0].startswith("node_scrape_collector_")
                and self._exceptions.allows("own_collectors", dict(key[1])["collector"])
            ):
                self.problems.append(f"only we have {show(key)}")


def _family(key: Series, types: Mapping[str, str]) -> str:
    """Return the family of a sample: summaries and histograms have samples of other names."""
    return key[0] if key[0] in types else re.sub("_(sum|count|bucket)$", "", key[0])


def show(key: Series) -> str:
    """Return a series as it is written on a page, more or less."""
    return key[0] + "{" + ",".join(f"{name}={value!r}" for name, value in sorted(key[1])) + "}"


def compare_pages(trio: Trio, exceptions: Exceptions) -> Comparison:
    """Return the last comparison: of the first moment when nothing differs, for somebody may mount or plug just now."""
    deadline = time.monotonic() + ROUNDS_SECONDS / 3
    while True:
        comparison = Comparison(trio.scrape(), exceptions)
        if not comparison.problems or time.monotonic() > deadline:
            return comparison


class Round(NamedTuple):
    """Our values, and each oracle's right before and right after."""

    before: list[Values]
    ours: Values
    after: list[Values]


def compare_values(
    measure: Callable[[], Round],
    counters: set[str],
    tolerance: Callable[[str], float] = lambda name: 0,
    seconds: float = ROUNDS_SECONDS,
) -> tuple[list[str], list[str]]:
    """Return the counters that were out of range in some round, and the series that were in range in none.

    A counter must lie between the oracle's two values in every round. A gauge can leave that range for a moment (memory
    freed and taken between two reads), so it must lie there in at least one round: at a quiet moment that means
    equality. `tolerance` gives by how much a family may be off nevertheless.
    """
    wrong: list[str] = []
    never: set[tuple[int, Series]] | None = None
    deadline = time.monotonic() + seconds
    while never is None or (never and not wrong and time.monotonic() < deadline):
        now = measure()
        ranges = {
            (oracle, key): sorted((before[key], after[key]))
            for oracle, (before, after) in enumerate(zip(now.before, now.after, strict=True))
            for key in before.keys() & now.ours.keys() & after.keys()
        }
        never = set(ranges) if never is None else never
        for (oracle, key), (low, high) in ranges.items():
            mine = now.ours[key]
            # a sum of floating point numbers depends on their order in the last digit
            off = max(tolerance(key[0]), abs(mine) * 1e-12)
            if low - off <= mine <= high + off:
                never.discard((oracle, key))
            slack = JITTER_SECONDS if {("mode", "idle"), ("mode", "iowait")} & key[1] else 1e-9
            if key[0] in counters and not low - slack <= mine <= high + slack:
                wrong.append(f"{show(key)}: {low!r} {mine!r} {high!r}")
    return wrong, sorted(show(key) for _, key in never)


def compare_trio(trio: Trio, exceptions: Exceptions) -> tuple[list[str], list[str]]:
    """Return what `compare_values` finds between our page and both of node_exporter's."""
    counters = {name for name, kind in families_in(trio.ours.page()).items() if kind == "counter"}

    def is_comparable(key: Series) -> bool:
        if key[0] == "node_scrape_collector_success":
            return not exceptions.allows("verdicts", dict(key[1])["collector"])
        return not exceptions.allows("own_values", key[0])

    def values(page: bytes) -> Values:
        return {key: value for key, value in values_in(page).items() if is_comparable(key)}

    def measure() -> Round:
        # all pages first: what takes time is to read them
        pages = [exporter.page() for exporter in (*trio.theirs.values(), trio.ours, *trio.theirs.values())]
        before, ours, after = pages[: len(trio.theirs)], pages[len(trio.theirs)], pages[len(trio.theirs) + 1 :]
        return Round([values(page) for page in before], values(ours), [values(page) for page in after])

    return compare_values(measure, counters, exceptions.tolerance)


def report(trio: Trio) -> list[str]:
    """Print the figures; return all that differs: names, types, series and values."""
    exceptions = Exceptions.load()
    comparison = compare_pages(trio, exceptions)
    wrong, never = compare_trio(trio, exceptions)
    for figure in comparison.figures:
        print(figure)
    return [*comparison.problems, *wrong, *(f"never met: {key}" for key in never)]
