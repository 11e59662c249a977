"""The rows of the result: which measure of which servers, in which unit, against which goal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bench.goals import Goal
from bench.peers import (
    OURS_D,
    OURS_D_LOCKED,
    OURS_EVERYTHING,
    OURS_MORE,
    OURS_MORE_NETCLASS,
    OURS_QUIET,
    OURS_T,
    OURS_T10,
    OURS_T_LOCKED,
    OURS_WATCHING,
    PEER_D,
    PEER_MORE,
    PEER_MORE_NETCLASS,
    PEER_STRICT,
    PEER_T,
    PEER_T10,
    PEER_T10_STRICT,
    THREE,
)
from bench.process_scan import CASES
from bench.summary import Record, Summary, mean, median, ratio


class Unit(NamedTuple):
    """How a figure is shown: its base unit times `scale`, with `digits` after the point."""

    name: str
    scale: float
    digits: int


MICROSECONDS: Final = Unit("us", 1e6, 0)
FEW_MICROSECONDS: Final = Unit("us", 1e6, 2)
MILLISECONDS: Final = Unit("ms", 1e3, 1)
MS_PER_SECOND: Final = Unit("ms/s", 1e3, 3)
KIBIBYTES: Final = Unit("KiB", 1 / 1024, 0)
COUNT: Final = Unit("", 1, 0)
RATE: Final = Unit("1/s", 1, 0)

Middle = Callable[[Sequence[float]], Summary | None]


class Pair(NamedTuple):
    """Two servers that are compared, and the name of the comparison."""

    name: str
    ours: str
    peer: str | None


EQUAL: Final = Pair("T", OURS_T, PEER_T)
STRICT: Final = Pair("T strict", OURS_T, PEER_STRICT)
TEN: Final = Pair("T10", OURS_T10, PEER_T10)
TEN_STRICT: Final = Pair("T10 strict", OURS_T10, PEER_T10_STRICT)
DEFAULTS: Final = Pair("D", OURS_D, PEER_D)
OURS_ALONE: Final = Pair("D", OURS_D, None)
QUIET: Final = Pair("D, no timers", OURS_QUIET, PEER_D)
WATCHING: Final = Pair("20 probes, 500 processes", OURS_WATCHING, None)
EVERYTHING: Final = Pair("20 probes, 500 processes", OURS_EVERYTHING, THREE)
LOCKED: Final = Pair("D, locked / open", OURS_D_LOCKED, OURS_D)
LOCKED_T: Final = Pair("T, locked / open", OURS_T_LOCKED, OURS_T)
MORE: Final = Pair("T10", OURS_MORE, PEER_MORE)
MORE_NETCLASS: Final = Pair("T10 and netclass", OURS_MORE_NETCLASS, PEER_MORE_NETCLASS)

# the groups' rows, and for the largest crowd the lists' alone, which is what there is without settings
SCANS: Final = tuple(Pair(case.name, case.server("groups"), case.server("peer")) for case in CASES)
LISTS: Final = tuple(Pair(f"{case.name}, lists only", case.server("top"), case.server("peer")) for case in CASES[2:])

# whose goals these are
SKELETON: Final = "skeleton"
WHOLE: Final = "whole exporter"
LOCKS: Final = "locks"
HISTORY: Final = "history"
PROCESSES: Final = "processes"
PROBES: Final = "probes, processes, containers"


class Measure(NamedTuple):
    """One measure, shown once for each pair; goals are by the pair's name."""

    key: str
    title: str
    unit: Unit
    pairs: tuple[Pair, ...]
    goals: dict[str, Goal]
    middle: Middle = median


_PACED: Final = (EQUAL, STRICT, DEFAULTS)
_EACH: Final = (EQUAL, STRICT, TEN, TEN_STRICT, DEFAULTS)
_WITH_LOCKS: Final = (*_EACH, LOCKED_T, LOCKED)
_TWO: Final = (EQUAL, DEFAULTS)
_NONE: Final[dict[str, Goal]] = {}
_MEMORY: Final = {"D": Goal(1.2, subject=f"{SKELETON}, {WHOLE}")}
_NO_ERROR: Final = Goal(0, absolute=True, subject=SKELETON)
_FAST: Final = {"T": Goal(0.2, subject=SKELETON)}

MEASURES: Final = (
    Measure(
        "hot_cpu",
        "CPU per scrape, hot",
        MICROSECONDS,
        _WITH_LOCKS,
        {
            "T": Goal(0.14, 0.10, subject=SKELETON),
            "T10": Goal(0.12, subject=WHOLE),
            "T10 strict": Goal(0.15, subject=WHOLE),
            "D": Goal(0.14, 0.10, subject=WHOLE),
            LOCKED.name: Goal(1.3, subject=LOCKS),
        },
    ),
    Measure(
        "paced_cpu",
        "CPU per scrape, paced, with background",
        MICROSECONDS,
        _PACED,
        {"T": Goal(0.22, 0.16, subject=SKELETON), "D": Goal(0.22, subject=WHOLE)},
    ),
    Measure(
        "more_cpu",
        "CPU per further sample, 60 more devices",
        FEW_MICROSECONDS,
        (MORE, MORE_NETCLASS),
        {MORE.name: Goal(0.4, absolute=True, subject=WHOLE)},
    ),
    Measure("more_samples", "further samples of 60 more devices", COUNT, (MORE, MORE_NETCLASS), _NONE),
    Measure("hot_p50", "p50, hot", MICROSECONDS, _WITH_LOCKS, _FAST),
    Measure("hot_p99", "p99, hot", MICROSECONDS, _WITH_LOCKS, _FAST),
    Measure("paced_p50", "p50, paced", MICROSECONDS, _PACED, _NONE),
    Measure("paced_p99", "p99, paced", MICROSECONDS, _PACED, _NONE),
    Measure(
        "idle_cpu",
        "idle CPU",
        MS_PER_SECOND,
        (QUIET, DEFAULTS, EQUAL),
        {QUIET.name: Goal(0.1, absolute=True, subject=SKELETON)},
        mean,
    ),
    Measure(
        "sampler_cpu",
        "idle CPU, the sampler's part",
        MS_PER_SECOND,
        (OURS_ALONE,),
        {"D": Goal(0.1, absolute=True, subject=HISTORY)},
        mean,
    ),
    Measure(
        "watching_cpu",
        "idle CPU, all that watches",
        MS_PER_SECOND,
        (WATCHING,),
        {WATCHING.name: Goal(1.5, absolute=True, subject=PROBES)},
        mean,
    ),
    Measure(
        "process_scan",
        "CPU per process and scan",
        FEW_MICROSECONDS,
        (*SCANS, *LISTS),
        {pair.name: Goal(0.05, subject=PROCESSES) for pair, case in zip(SCANS, CASES, strict=True) if case.active < 1},
    ),
    Measure("rss_idle", "resident memory, before scrapes", KIBIBYTES, _WITH_LOCKS, _MEMORY),
    Measure("rss", "resident memory, after scrapes", KIBIBYTES, _WITH_LOCKS, _MEMORY),
    Measure(
        "rss_everything",
        "resident memory, everything on",
        KIBIBYTES,
        (EVERYTHING,),
        {EVERYTHING.name: Goal(0.8, 0.7, subject=PROBES)},
    ),
    Measure("pss", "proportional memory, after scrapes", KIBIBYTES, _TWO, _NONE),
    Measure("cold_start", "cold start, exec to first page", MILLISECONDS, _TWO, _NONE),
    Measure("load_rate", "64 scrapers: good answers", RATE, _TWO, {"T": Goal(5, at_least=True, subject=SKELETON)}),
    Measure(
        "load_errors",
        "64 scrapers: errors",
        COUNT,
        _TWO,
        {"T": _NO_ERROR, "D": _NO_ERROR},
        lambda blocks: median([sum(blocks)]) if blocks else None,
    ),
    Measure("load_p50", "64 scrapers: p50", MICROSECONDS, _TWO, _NONE),
    Measure("load_p99", "64 scrapers: p99", MICROSECONDS, _TWO, _NONE),
    Measure("load_cpu", "64 scrapers: CPU per answer", MICROSECONDS, _TWO, _NONE),
    Measure("load_rss", "64 scrapers: resident memory, after", KIBIBYTES, _TWO, _NONE),
    Measure("wire", "bytes on the wire, with head", COUNT, _EACH, _NONE),
    Measure("page", "bytes of the page", COUNT, _EACH, _NONE),
    Measure("samples", "samples", COUNT, _EACH, _NONE),
)


@dataclass(frozen=True)
class Row:
    """One line of the result. Figures are in the unit that is shown."""

    key: str
    title: str
    pair: str
    unit: str
    digits: int
    ours: Summary | None
    peer: Summary | None
    ratio: Summary | None
    goal: Goal | None
    reason: str = ""
    """Why it could not be measured on this machine, where it could not."""

    @property
    def measured(self) -> float | None:
        """What the goal limits: our figure or the ratio; None when it was not measured."""
        chosen = self.ours if self.goal and self.goal.absolute else self.ratio
        return chosen.value if chosen else None

    @property
    def verdict(self) -> str:
        """The goal's verdict, or why there is no figure; else empty."""
        if self.reason:
            return f"not measured: {self.reason}"
        return self.goal.verdict(self.measured) if self.goal else ""

    @property
    def missed(self) -> bool:
        """Whether there is a goal that is not met; what this machine cannot measure is not missed."""
        return self.goal is not None and not self.reason and not self.goal.is_met(self.measured)


def make_rows(record: Record) -> list[Row]:
    """Return every row of the result, in the order of MEASURES."""
    return [_row(record, measure, pair) for measure in MEASURES for pair in measure.pairs]


def _row(record: Record, measure: Measure, pair: Pair) -> Row:
    unit = measure.unit
    ours = [block * unit.scale for block in record.blocks(pair.ours, measure.key)]
    peer = [block * unit.scale for block in record.blocks(pair.peer, measure.key)] if pair.peer else []
    mine, theirs = measure.middle(ours), measure.middle(peer)
    quotient = ratio(ours, peer)
    if measure.middle is mean and mine and theirs and theirs.value:
        quotient = ratio([mine.value], [theirs.value])
    return Row(
        measure.key,
        measure.title,
        pair.name,
        unit.name,
        unit.digits,
        mine,
        theirs,
        quotient,
        measure.goals.get(pair.name),
        record.reason(pair.ours),
    )
