"""Dashboards for node_exporter on our page: each expression gives the answer that it gives on node_exporter's.

One Prometheus scrapes both of node_exporter's versions and us every second. It does so one after the other within that
second, so an answer that moves is not the same for two exporters. It counts as the same where it lies between the
lowest and the highest that node_exporter's was within two scrapes before and after, give or take its largest step from
one scrape to the next, in at least half of the moments; on a machine in turmoil, of some later moments. An answer that
stands still must be equal.
"""

import itertools
import math
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.support.client import until
from tests.support.parity import Exceptions, Trio, running
from tests.support.prometheus import INTERVAL_SECONDS, LabelSet, Prometheus

LISTS: Final = Path(__file__).parents[1] / "fixtures/dashboards"
# how many of them node_exporter answers at least, on any machine
FEWEST: Final = {"node-exporter-full": 180, "node-mixin": 60}
SCRAPES: Final = 20
PATIENCE_SECONDS: Final = 60
MOMENTS: Final = 10
AROUND: Final = 2 * INTERVAL_SECONDS
# Prometheus' sums depend on the order of what is summed, in the last digits
DIGITS: Final = 1e-9

VARIABLES: Final = {
    "$__rate_interval": "5s",
    "$__range": "20s",
    "$diskdevices": "[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+",
}
RULE: Final = re.compile(r"(\w+:[\w:]+) = (.+)")

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "prometheus", "node_exporter", "node_exporter-1.9")]


def lines_of(name: str) -> list[str]:
    lines = (LISTS / f"{name}.promql").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def expressions_of(name: str) -> list[str]:
    return [line for line in lines_of(name) if not RULE.fullmatch(line)]


def rules() -> list[tuple[str, str]]:
    matches = [match for name in FEWEST for line in lines_of(name) if (match := RULE.fullmatch(line))]
    return [(match[1], match[2].replace('job="$job"', 'job!=""')) for match in matches]


def ask_of(expression: str, target: str) -> str:
    """Return the expression with Grafana's variables filled in, for one target."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return re.sub(r"\$(?:node|instance|job)\b", target, expression)


Answers = dict[LabelSet, dict[float, float]]


class Scraped(NamedTuple):
    """A Prometheus that knows all three for long enough."""

    prometheus: Prometheus
    exceptions: Exceptions

    def now(self) -> float:
        """Return the last moment that has later ones to compare with."""
        (now,) = self.prometheus.query("vector(time())").values()
        return int(now) - AROUND

    def ask(self, expression: str, target: str, end: float) -> Answers:
        """Return the answers about one target, without what names it and the labels that only newer versions have."""
        query = ask_of(expression, target)
        answers = self.prometheus.query_range(query, end - MOMENTS - AROUND, end + AROUND)
        return {self._bare(labels): values for labels, values in answers.items()}

    def _bare(self, labels: LabelSet) -> LabelSet:
        pairs = dict(labels)
        family = pairs.get("__name__", "")
        grown = self.exceptions.labels("grown", family) | self.exceptions.labels("labels", family)
        return frozenset(pair for pair in pairs.items() if pair[0] not in {"job", "instance", *grown})

    def reference(self, expression: str, end: float) -> Answers:
        """Return what node_exporter answers: 1.5, and 1.9 where 1.5 does not."""
        answers = {**self.ask(expression, "node-1.9", end), **self.ask(expression, "node-1.5", end)}
        lacking = {
            labels for labels in answers if self.exceptions.allows("collectors", dict(labels).get("collector", ""))
        }
        return {labels: values for labels, values in answers.items() if labels not in lacking}


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    with running() as trio:
        yield trio


@pytest.fixture(scope="module")
def scraped(trio: Trio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    targets = {f"node-{version}": exporter.port for version, exporter in trio.theirs.items()} | {"ours": trio.ours.port}
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets, rules()) as prometheus:

        def has_enough() -> bool:
            known = prometheus.query("count_over_time(up[1h])")
            return len(known) == len(targets) and min(known.values()) >= SCRAPES

        until(has_enough, "enough scrapes", seconds=60, every=0.2)
        assert set(prometheus.query("min_over_time(up[1h])").values()) == {1}
        yield Scraped(prometheus, Exceptions.load())


def is_near(at: float, value: float, theirs: dict[float, float], tolerance: float) -> bool:
    """Whether a value lies between the lowest and the highest of the others' around that moment, give or take."""
    around = [other for time, other in theirs.items() if abs(time - at) <= AROUND]
    if math.isnan(value):  # 0/0: without requests there is no time per request
        return any(map(math.isnan, around))
    known = [other for other in around if not math.isnan(other)]
    off = max(tolerance, abs(value) * DIGITS)
    return bool(known) and min(known) - off <= value <= max(known) + off


def largest_step(values: dict[float, float]) -> float:
    steps = (abs(after - before) for before, after in itertools.pairwise(values.values()))
    return max((step for step in steps if not math.isnan(step)), default=0)


def problems_of(scraped: Scraped, expression: str, end: float, theirs: Answers, ours: Answers) -> Iterator[str]:
    """Yield what of theirs is not answered by ours, or otherwise."""
    for labels, values in theirs.items():
        where = f"{expression} {dict(labels)}"
        family = dict(labels).get("__name__", "")
        mine = {at: value for at, value in ours.get(labels, {}).items() if end - MOMENTS <= at <= end}
        if not mine and any(end - MOMENTS <= at <= end for at in values):
            yield f"no answer: {where}"
        elif not scraped.exceptions.allows("own_values", family):
            tolerance = max(largest_step(values), scraped.exceptions.tolerance(family))
            near = [at for at, value in mine.items() if is_near(at, value, values, tolerance)]
            if len(near) < len(mine) / 2:
                yield f"{len(near)} of {len(mine)} moments agree: {where}\n  theirs {values}\n  ours {mine}"


def compare(scraped: Scraped, expression: str, end: float) -> tuple[bool, list[str]]:
    """Return whether node_exporter answers the expression, and how our answer differs."""
    theirs = scraped.reference(expression, end)
    return bool(theirs), list(problems_of(scraped, expression, end, theirs, scraped.ask(expression, "ours", end)))


@pytest.mark.parametrize("name", FEWEST)
def test_every_expression_gives_the_answer_that_it_gives_on_node_exporter(scraped: Scraped, name: str) -> None:
    expressions = expressions_of(name)
    end, deadline = scraped.now(), time.monotonic() + PATIENCE_SECONDS
    results = {expression: compare(scraped, expression, end) for expression in expressions}
    answered = sum(is_answered for is_answered, _ in results.values())
    print(f"{name}: {len(expressions)} expressions, {answered} with an answer from node_exporter")
    while open_ones := [expression for expression, (_, problems) in results.items() if problems]:
        if time.monotonic() > deadline:
            break
        end += MOMENTS
        until(partial(is_past, scraped, end), "later moments", seconds=2 * MOMENTS, every=0.2)
        results.update({expression: compare(scraped, expression, end) for expression in open_ones})
    assert not [problem for _, problems in results.values() for problem in problems]
    assert answered >= FEWEST[name]


def is_past(scraped: Scraped, moment: float) -> bool:
    return scraped.now() >= moment


@pytest.mark.parametrize("factor", [0.1, 10])
@pytest.mark.parametrize(
    "expression",
    [
        'node_memory_MemTotal_bytes{instance="$node"}',
        'node_load15{instance="$node"}',
        'sum(irate(node_cpu_seconds_total{instance="$node"}[$__rate_interval]))',
        'node_time_seconds{instance="$node"} - node_boot_time_seconds{instance="$node"}',
    ],
)
def test_an_answer_that_is_wrong_or_missing_is_seen(scraped: Scraped, expression: str, factor: float) -> None:
    end = scraped.now()
    theirs = scraped.reference(expression, end)
    ours = scraped.ask(expression, "ours", end)
    wrong = {labels: {at: value * factor for at, value in values.items()} for labels, values in ours.items()}
    assert len(list(problems_of(scraped, expression, end, theirs, wrong))) == len(theirs) == 1
    assert len(list(problems_of(scraped, expression, end, theirs, {}))) == 1


def test_every_list_is_asked() -> None:
    assert {path.stem for path in LISTS.glob("*.promql")} == FEWEST.keys()
    assert len(rules()) == 11
