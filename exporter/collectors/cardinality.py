"""How many series a page has, and a cap for each family, so that no device zoo floods Prometheus."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from exporter.exposition import Block, Family
from exporter.logs import Log

log = Log(__name__)

# 256 cores have 2,048 rows of node_cpu_seconds_total
DEFAULT_PER_FAMILY: Final = 4096

DROPPED: Final = Family(
    "host_exporter_series_dropped_total",
    "counter",
    "Samples left out of pages because their family had more than scrape.series_per_family.",
    ("collector",),
)
# no line of ours is shorter: a text of fewer bytes than this for each allowed sample needs no counting
_SHORTEST_LINE: Final = 12
_NEXT_FAMILY: Final = b"\n# HELP "
# a subject of these has several samples, which mean nothing without each other
_COMPOUND: Final = (b"histogram", b"summary")


class Budget:
    """The cap, and what fell to it. A collector's text is counted only when it is long enough to be over it."""

    def __init__(self, per_family: int) -> None:
        self.per_family = per_family
        self.harmless = per_family * _SHORTEST_LINE
        """A text of no more bytes than this need not be looked at."""
        self.dropped: dict[str, int] = {}
        """By collector: all that were made, with 0 for most."""

    def keep(self, collector: str, block: Block) -> Block:
        """Return the text with at most the allowed samples of each family: the first ones stay, histograms whole."""
        if len(block) <= self.harmless:
            return block
        families = [self._cut(family) for family in block.split(_NEXT_FAMILY)]
        lost = sum(count for _, count in families)
        if not lost:
            return block
        if not self.dropped.get(collector):
            log.warning("series dropped", collector=collector, series=lost, allowed_per_family=self.per_family)
        self.dropped[collector] = self.dropped.get(collector, 0) + lost
        text = _NEXT_FAMILY.join(family for family, _ in families)
        return text if text.endswith(b"\n") else text + b"\n"

    def _cut(self, family: bytes) -> tuple[bytes, int]:
        """Return a family's text, cut if need be, and how many samples it lost."""
        lines = family.count(b"\n") + (not family.endswith(b"\n"))
        over = lines - 2 - self.per_family  # HELP and TYPE come first
        if over <= 0:
            return family, 0
        rows = family.split(b"\n")
        kept = _whole(rows, self.per_family + 2)
        return b"\n".join(rows[:kept]), lines - kept


def _whole(rows: list[bytes], kept: int) -> int:
    """Return how many of a family's lines to keep, at most `kept`, so that no histogram is cut in the middle."""
    _, _, name, kind = rows[1].split(b" ", 3)
    if kind not in _COMPOUND:
        return kept
    ends = tuple(name + end for end in (b"_sum{", b"_sum ", b"_count{", b"_count "))  # last, in either order
    while kept > 2 and (rows[kept].startswith(ends) or not rows[kept - 1].startswith(ends)):
        kept -= 1
    return kept


class Count(NamedTuple):
    """One family on a page."""

    family: str
    collector: str
    series: int


def count_series(page: bytes, owners: Iterable[tuple[str, Iterable[Family]]]) -> list[Count]:
    """Return the families of a page with the collector that declares each, those with the most series first.

    A family that nobody declares (a field of another kernel, a textfile's) goes to the collector named last before it.
    """
    owner_of = {family.name: name for name, families in owners for family in families}
    out = []
    owner = "-"
    for text in (b"\n" + page).split(_NEXT_FAMILY)[1:]:
        name = text.partition(b" ")[0].decode()
        owner = owner_of.get(name, owner)
        out.append(Count(name, owner, len(text.rstrip(b"\n").split(b"\n")) - 2))
    return sorted(out, key=lambda count: (-count.series, count.family))


def explain(counts: list[Count], per_family: int) -> str:
    """Return the table that `hostwatch serve --explain-cardinality` prints."""
    width = max((len(count.family) for count in counts), default=0)
    lines = [f"{'FAMILY':{width}}  {'COLLECTOR':16}  SERIES"]
    lines += [f"{count.family:{width}}  {count.collector:16}  {count.series:6}" for count in counts]
    total = sum(count.series for count in counts)
    lines.append(f"{total} series in {len(counts)} families; at most {per_family} in each (scrape.series_per_family)")
    return "\n".join(lines)
