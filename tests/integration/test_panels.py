"""Every expression of every dashboard, asked as Grafana asks it, of a Prometheus that scrapes a real little fleet.

No expression may fail, and none may have an empty answer but for what EMPTY names, with its reason.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import promql_parser
import pytest

from tests.support import dashboards, exposed, mutation
from tests.support.client import scrape, until
from tests.support.dashboards import Asked
from tests.support.engine import Engine
from tests.support.panel_scene import SCRAPE_SECONDS, Scene, scene
from tests.support.reader import Reader
from tests.support.recorded_pages import shape

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("root", "linux", "prometheus", "alertmanager", "docker-engine", "openssl"),
]

# what a machine of tests has nothing to say about, by place; at most this share of all expressions
AT_MOST: Final = 0.05
EMPTY: Final = {
    "hostwatch-host / Failed units / A": "no unit has failed, or the machine has no systemd",
    "hostwatch-network / Use of the link / A": "a virtual machine's interface does not know its speed",
    "hostwatch-processes / Groups / I": "nothing is hidden from root",
}
# on a page only when there is something to say, which a test does not bring about here
ABSENT: Final = {
    "host_exporter_web_config_reload_successful": "only with --web-config: tests/integration/test_locks.py",
    "host_process_group_hidden": "nothing is hidden from root: tests/integration/test_process_groups.py",
    "host_swap_usage_ratio": "only with swap: tests/unit/history/test_usage.py",
    "relay_queue_oldest_timestamp_seconds": "only while something waits: tests/integration/test_relay_faults.py",
    "relay_slack_errors_total": "only once a call has failed: tests/integration/test_relay_faults.py",
    "relay_slack_failing_since_timestamp_seconds": "only while Slack fails: tests/integration/test_relay_faults.py",
}
PATIENCE_SECONDS: Final = 180

TESTS: Final = Path(__file__).parents[1]
BOARDS: Final = dashboards.load()
ASKED: Final = [one for board in BOARDS.values() for one in dashboards.asked(board)]


@pytest.fixture(scope="module")
def running(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("scene"), engine) as all_of_it:
        yield all_of_it


def test_every_expression_of_every_panel_has_an_answer(running: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    begun, waiting, last = time.monotonic(), list(ASKED), ""
    while waiting and time.monotonic() - begun < PATIENCE_SECONDS:
        values = {uid: running.reader.variables(board) for uid, board in BOARDS.items()}
        still = [one for one in waiting if not running.reader.answers(one, values[one.dashboard])]
        come = {one.place for one in waiting} - {one.place for one in still}
        last = f"{time.monotonic() - begun:.0f} s: {min(come)}" if come else last
        waiting = still
        if {one.place for one in waiting} <= EMPTY.keys():
            break
        time.sleep(0.5)
    empty = {one.place for one in waiting}
    share = 1 - len(empty) / len(ASKED)
    with capsys.disabled():
        print(f"\n{len(ASKED)} expressions of {len(BOARDS)} dashboards, {share:.1%} with an answer; without:")
        print(*(f"  {place}: {EMPTY.get(place, 'NO REASON')}" for place in sorted(empty)), sep="\n")
        print(f"the last answer came after {last}")
    assert empty <= EMPTY.keys()


def test_what_may_be_empty_is_little_and_there() -> None:
    assert EMPTY.keys() <= {one.place for one in ASKED}
    assert len(EMPTY) <= AT_MOST * len(ASKED)


def test_several_chosen_values_are_understood(running: Scene) -> None:
    for uid, board in BOARDS.items():
        values = running.reader.variables(board, everything=False)
        for one in ASKED:
            if one.dashboard == uid:
                running.reader.answers(one, values)


@pytest.mark.parametrize("instant", [True, False], ids=["now", "over time"])
@pytest.mark.parametrize(
    ("expression", "answered"),
    [("up", True), ("up > 2", False), ("host_nothing_of_the_kind", False), ("0 / (up * 0)", False)],
    ids=["an answer", "no series", "no such metric", "not a number"],
)
def test_an_empty_answer_is_seen(running: Scene, expression: str, answered: bool, instant: bool) -> None:
    values = running.reader.times
    one = Asked("planted", expression, "", instant, "")
    until(lambda: running.reader.answers(one, values) == answered, expression, seconds=60, every=0.5)


def test_an_expression_that_prometheus_refuses_is_seen(running: Scene) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        running.reader.answers(Asked("planted", "sum by (", "", True, ""), {})


def asked_for() -> dict[str, set[str]]:
    """Return every metric that rules and dashboards ask for, with the labels by which they select."""
    values = {variable["name"]: "any" for board in BOARDS.values() for variable in board["templating"]["list"]}
    values |= Reader("", SCRAPE_SECONDS, "").times
    found: dict[str, set[str]] = {}
    for expression in (*(rule["expr"] for rule in exposed.RULES.values()), *(one.expr for one in ASKED)):
        for node in mutation.nodes(dashboards.filled(expression, values)):
            if isinstance(node, promql_parser.VectorSelector) and node.name:
                found.setdefault(node.name, set()).update(matcher.name for matcher in node.matchers.matchers)
    return found


def test_all_that_rules_and_dashboards_ask_for_is_on_a_live_or_recorded_page(
    running: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    not_scraped = {*exposed.RECORDED, *exposed.OF_SCRAPES, *exposed.OF_OPERATORS, "ALERTS", "ALERTS_FOR_STATE"}
    asked = {name: labels for name, labels in asked_for().items() if name not in {*not_scraped, *ABSENT}}
    recorded = shapes(page.read_text() for page in RECORDED)
    live: dict[str, set[str]] = {}

    def lacking() -> dict[str, set[str]]:
        """Return what is on no page, for the parts show some metrics only after a while."""
        live.update(shapes([*map(scrape, running.exporters.values()), *map(running.page, running.parts)]))
        there = {name: live.get(name, set()) | recorded.get(name, set()) for name in {*live, *recorded}}
        missing = {name: labels - there.get(name, {"*"}) - exposed.OF_EVERY_TARGET for name, labels in asked.items()}
        return {name: labels for name, labels in missing.items() if labels or name not in there}

    with contextlib.suppress(AssertionError):
        until(lambda: not lacking(), "all is there", seconds=120, every=0.5)
    with capsys.disabled():
        print(f"\n{len(asked)} metrics are asked for; on recorded pages only:")
        print(*(f"  {name}" for name in sorted(asked.keys() - live.keys())), sep="\n")
        print(*(f"  on no page: {name}: {why}" for name, why in ABSENT.items()), sep="\n")
    assert lacking() == {}
    assert ABSENT.keys() <= asked_for().keys()


# pages of machines that have what this one may lack
RECORDED: Final = [*TESTS.glob("golden/*.prom"), *TESTS.glob("fixtures/collectors/*/*/page.prom")]


def shapes(pages: Iterable[str]) -> dict[str, set[str]]:
    """Return the labels of each metric that is on one of the pages."""
    found: dict[str, set[str]] = {}
    for page in pages:
        for row in shape(page):
            name, _, labels = row.partition(" ")
            found.setdefault(name, set()).update(labels.split(","))
    return found
