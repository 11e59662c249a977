"""The reconciler: what ended without a word is told once, and nothing is told that somebody may know better."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.relay import reconcile
from exporter.relay.alertmanagers import Knowledge, LookError
from exporter.relay.daemon import _make_reconciler
from exporter.relay.folding import Fold
from exporter.relay.intake import parse_snapshot
from exporter.relay.lines import ENDED_UNSAID
from exporter.relay.queue import DurableQueue
from exporter.relay.reconcile import Reconciler
from exporter.relay.settings import Limits, ReconcileSettings, Relay
from exporter.relay.storage import Arrival
from exporter.relay.watchdog import GROUP_KEY
from exporter.settings import Duration
from tests.support.client import until
from tests.support.effort import tries
from tests.support.fake_alertmanager import FakeAlertmanager
from tests.support.relay import alert, payload, resolved

WALL = 1_795_300_000.0
WEB, DB = alert(instance="web"), alert(instance="db")
MINUTE = 60.0


class World:
    """A queue whose work is folded at once, Alertmanagers, and clocks that stand still."""

    def __init__(self, folder: Path, ask_all: Any = None, urls: Sequence[str] = ("http://one",), **more: Any) -> None:
        limits = msgspec.structs.replace(Limits(), **more.pop("limits", {}))
        self.queue = DurableQueue(folder / "relay.db", limits)
        self.steady, self.wakes, self.heard = 1000.0, 0, True
        clocks = {"clock": lambda: WALL + self.steady, "monotonic": lambda: self.steady}
        asks = {"ask_all": ask_all} if ask_all else {}
        self.one = Reconciler(urls, ReconcileSettings(**more), self.queue, lambda: self.heard, **asks, **clocks)
        self.one.on_stored = self._wake

    def _wake(self) -> None:
        self.wakes += 1

    def post(self, *alerts: Any, **more: Any) -> None:
        body = msgspec.json.encode(payload(*alerts, **more))
        seen = parse_snapshot(body)
        arrival = Arrival(
            receiver=seen.receiver, group_key=seen.group_key, digest=b"", body=body, received=WALL + self.steady
        )
        self.queue.store(arrival).result(10)
        self.fold()

    def fold(self) -> int:
        """Work off what waits; return how many snapshots that were."""
        count = 0
        while work := self.queue.take().result(10):
            count += len(work.snapshots)
            self.queue.run(self.queue.settling(work, Fold(600.0)(work), live=False)).result(10)
        return count

    def look(self, after: float = 0.0) -> int:
        """Look once; return how many snapshots that made."""
        self.steady += after
        self.one.turn()
        return self.fold()

    def settle(self) -> None:
        """See the Alertmanagers run for long enough; what fires is known meanwhile, or not there yet."""
        self.look()
        self.steady += 10 * MINUTE

    def shown(self) -> list[Any]:
        return self.queue.recent(1000).result(10)

    def statuses(self) -> list[str]:
        return [one.episode.status for one in self.shown()]

    def failures(self) -> dict[str, int]:
        return {reason: count for reason, count in self.one.failures.items() if count}

    def close(self) -> None:
        self.one.stop()
        assert self.queue.close(10)


@pytest.fixture
def pair() -> Iterator[tuple[FakeAlertmanager, FakeAlertmanager]]:
    with FakeAlertmanager() as one, FakeAlertmanager() as other:
        yield one, other


@pytest.fixture
def world(tmp_path: Path, pair: tuple[FakeAlertmanager, FakeAlertmanager]) -> Iterator[World]:
    made = World(tmp_path, urls=(pair[0].url, pair[1].url))
    made.settle()
    yield made
    made.close()


@pytest.fixture
def known(world: World, pair: tuple[FakeAlertmanager, FakeAlertmanager]) -> tuple[FakeAlertmanager, FakeAlertmanager]:
    """WEB fires, and both know it."""
    world.post(WEB)
    for each in pair:
        each.knows(WEB)
    assert world.look() == 0
    return pair


Pair = tuple[FakeAlertmanager, FakeAlertmanager]


def test_missing_once_says_nothing(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    assert [world.look(MINUTE), world.look(MINUTE)] == [0, 0]  # a minute apart only
    known[1].knows(WEB)
    assert world.look(MINUTE) == 0
    known[1].knows()
    assert [world.look(MINUTE), world.look(MINUTE)] == [0, 0]
    assert world.statuses() == ["firing"]


def test_missing_for_two_minutes_is_resolved_once_with_a_line_that_says_so(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    first = WALL + world.steady + MINUTE
    assert [world.look(MINUTE) for _ in range(8)] == [0, 0, 1, 0, 0, 0, 0, 0]
    (shown,) = world.shown()
    assert (shown.episode.status, shown.episode.receiver, shown.episode.group_labels) == (
        "resolved",
        "slack",
        {"alertname": "HostCpuHigh"},
    )
    assert shown.episode.ended == pytest.approx(first * 1e9, abs=1e6)
    assert [line.kind for line in shown.lines] == ["opened", "resolved", "note"]
    assert shown.lines[-1].text == ENDED_UNSAID
    assert (world.one.reconciled, world.wakes, world.failures()) == (1, 1, {})


def test_not_told_again_while_the_queue_has_not_worked_it_off(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    for _ in range(6):
        world.steady += MINUTE
        world.one.turn()
    assert (world.one.reconciled, world.fold(), world.statuses()) == (1, 1, ["resolved"])


def test_longer_group_intervals_are_waited_for(world: World, known: Pair) -> None:
    known[1].config = known[0].config.replace("1m", "5m")
    for each in known:
        each.knows()
    assert [world.look(MINUTE) for _ in range(8)] == [0, 0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("state", ["active", "suppressed", "unprocessed"])
def test_one_of_two_knows_it(world: World, known: Pair, state: str) -> None:
    known[0].knows()
    known[1].knows(WEB, state=state)
    assert [world.look(MINUTE) for _ in range(6)] == [0] * 6
    assert world.statuses() == ["firing"]


@pytest.mark.parametrize("path", ["/api/v2/alerts", "/api/v2/status"])
@pytest.mark.parametrize("answer", [(500, b""), (200, b"<html>"), (200, b"{}"), (200, b'[{"fin')])
def test_without_an_answer_of_each_nothing_is_resolved(
    world: World, known: Pair, path: str, answer: tuple[int, bytes]
) -> None:
    known[0].knows()
    known[1].answers[path] = answer
    assert [world.look(MINUTE) for _ in range(6)] == [0] * 6
    assert (world.statuses(), world.failures()) == (["firing"], {"alertmanager": 6})
    # an end of that begins anew
    known[1].answers.clear()
    known[1].knows()
    assert [world.look(MINUTE) for _ in range(3)] == [0, 0, 1]


def test_one_failure_begins_anew(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    assert [world.look(MINUTE), world.look(MINUTE)] == [0, 0]
    known[0].cut.add("/api/v2/alerts")
    assert world.look(MINUTE) == 0
    known[0].cut.clear()
    assert [world.look(MINUTE) for _ in range(3)] == [0, 0, 1]


def test_restarted_alertmanager_is_not_believed_for_five_minutes(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    assert [world.look(MINUTE), world.look(MINUTE)] == [0, 0]
    known[1].start = "2026-11-20T17:00:00.000Z"
    assert [world.look(MINUTE) for _ in range(5)] == [0] * 5
    known[1].knows(WEB)  # Prometheus has told it again
    assert [world.look(MINUTE) for _ in range(5)] == [0] * 5
    assert world.statuses() == ["firing"]
    known[1].knows()
    assert [world.look(MINUTE) for _ in range(3)] == [0, 0, 1]


def test_silent_watchdog_holds_it_back(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    world.look(MINUTE)
    world.heard = False
    assert [world.look(MINUTE) for _ in range(5)] == [0] * 5
    world.heard = True
    assert [world.look(MINUTE) for _ in range(3)] == [0, 0, 1]


def test_fires_again_after_it_is_a_new_episode(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    for _ in range(3):
        world.look(MINUTE)
    again = {**WEB, "startsAt": "2027-01-01T00:00:00Z"}
    world.post(again)
    for each in known:
        each.knows(again)
    assert [world.look(MINUTE) for _ in range(4)] == [0] * 4
    assert sorted((one.episode.number, one.episode.status) for one in world.shown()) == [(1, "resolved"), (2, "firing")]
    for each in known:
        each.knows()
    assert [world.look(MINUTE) for _ in range(4)] == [0, 0, 1, 0]
    assert (world.one.reconciled, world.statuses()) == (2, ["resolved", "resolved"])


def test_fires_again_while_it_is_missing_is_another_alert(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    world.look(MINUTE)
    world.post({**WEB, "startsAt": "2026-12-01T00:00:00Z"})
    assert [world.look(MINUTE), world.look(MINUTE)] == [0, 0]  # of this one's absence only one minute is known
    assert world.look(MINUTE) == 1


def test_some_of_a_group(world: World, known: Pair) -> None:
    world.post(WEB, DB, truncatedAlerts=3)
    assert [world.look(MINUTE) for _ in range(4)] == [0, 0, 1, 0]
    (shown,) = world.shown()
    assert shown.episode.status == "firing"
    assert [one.labels["instance"] for one in shown.episode.resolved] == ["db"]
    assert shown.episode.truncated_alerts == 3
    assert [line.kind for line in shown.lines][-2:] == ["fewer", "note"]


def test_alertmanager_s_own_word_after_ours_changes_nothing_for_people(world: World, known: Pair) -> None:
    for each in known:
        each.knows()
    for _ in range(3):
        world.look(MINUTE)
    before = [line.text for line in world.shown()[0].lines]
    world.post(resolved(WEB, "2026-11-20T15:07:00Z"))
    assert [line.text for line in world.shown()[0].lines] == before
    assert world.statuses() == ["resolved"]


def test_what_alertmanager_told_as_resolved_has_no_line_of_ours(world: World) -> None:
    world.post(WEB)
    world.post(resolved(WEB))
    assert [world.look(MINUTE) for _ in range(4)] == [0] * 4
    assert [line.kind for line in world.shown()[0].lines] == ["opened", "resolved"]


@pytest.mark.parametrize(
    "more",
    [
        {"groupKey": GROUP_KEY, "receiver": "hostwatch"},
        {"groupKey": 'hostwatch-test:{id="1"}'},
    ],
    ids=["pipeline silent", "relay test"],
)
def test_our_own_alerts_are_left_alone(world: World, more: dict[str, str]) -> None:
    world.post(WEB, **more)
    assert [world.look(MINUTE) for _ in range(6)] == [0] * 6
    assert world.statuses() == ["firing"]


def test_alert_without_a_fingerprint_is_left_alone(world: World) -> None:
    world.post({**WEB, "fingerprint": ""})
    assert [world.look(MINUTE) for _ in range(6)] == [0] * 6


def test_end_is_never_before_the_start(world: World) -> None:
    future = "2029-01-01T00:00:00.5Z"
    world.post({**WEB, "startsAt": future})
    assert [world.look(MINUTE) for _ in range(3)] == [0, 0, 1]
    episode = world.shown()[0].episode
    assert episode.ended == episode.alerts[0].began


def test_many_alerts_take_several_looks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 3)
    monkeypatch.setattr(reconcile, "MAX_GROUPS", 4)
    monkeypatch.setattr(reconcile, "MAX_MISSING", 8)
    for number in range(10):
        world.post(alert(f"Alert{number}"))
    looks = [world.look(MINUTE) for _ in range(10)]
    assert max(looks) == 4
    assert (sum(looks), world.one.reconciled, set(world.statuses())) == (10, 10, {"resolved"})


def test_full_queue_is_a_failure_and_is_made_up_for(tmp_path: Path) -> None:
    def nothing(urls: Sequence[str], _: object) -> Knowledge:
        return Knowledge(frozenset(), dict.fromkeys(urls, "x"), 60.0)

    world = World(tmp_path, nothing, limits={"queue_snapshots": 1})
    try:
        world.settle()
        world.post(WEB)
        [world.look(MINUTE) for _ in range(2)]
        blocker = Arrival(receiver="slack", group_key="{}", digest=b"", body=b"", received=0.0)
        world.queue.store(blocker).result(10)
        world.steady += MINUTE
        world.one.turn()
        assert (world.failures(), world.one.reconciled) == ({"store": 1}, 0)
        world.queue.run(lambda db: db.execute("DELETE FROM snapshots")).result(10)
        assert [world.look(MINUTE) for _ in range(4)] == [0, 0, 1, 0]
    finally:
        world.close()


@pytest.mark.parametrize("url", ["", "127.0.0.1:9093", "ftp://x", "http://me:secret@x"])
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"alertmanager_urls: expected addresses"):
        Relay(alertmanager_urls=(url,))


def test_off_unless_somebody_is_named() -> None:
    nobody: Any = None
    assert _make_reconciler(Relay(), nobody, nobody) is None
    assert _make_reconciler(Relay(alertmanager_urls=("http://x",)), nobody, nobody) is not None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["known", "gone", "half", "failed", "restarted", "unheard"]),
        st.integers(min_value=10, max_value=200),
    ),
    max_size=30,
)


@given(steps=STEPS)
@settings(max_examples=tries(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_resolved_only_after_two_minutes_of_nothing_but_absence(steps: list[tuple[str, int]]) -> None:
    """Whatever happens, in whatever order: the model is the rule in words."""
    state = {"what": "known", "start": 0}

    def ask_all(urls: Sequence[str], _: object) -> Knowledge:
        if state["what"] == "failed":
            raise LookError("alertmanager", "x")
        names = frozenset({WEB["fingerprint"]}) if state["what"] == "known" else frozenset[str]()
        # half: one knows it, and the other does not
        names |= {WEB["fingerprint"]} if state["what"] == "half" else set()
        return Knowledge(names, {url: str(state["start"]) for url in urls}, 60.0)

    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), ask_all)
        try:
            world.settle()
            world.post(WEB)
            settled: float | None = world.steady - 10 * MINUTE
            gone: float | None = None
            done = False
            for what, seconds in steps:
                state["what"] = what
                state["start"] = int(str(state["start"])) + (what == "restarted")
                world.heard = what != "unheard"
                world.steady += seconds
                if what == "restarted":
                    settled = world.steady
                absent = what in ("gone", "restarted") and settled is not None and world.steady - settled >= 300
                gone = (world.steady if gone is None else gone) if absent else None
                due = gone is not None and world.steady - gone >= 120 and not done
                assert world.look() == int(due)
                done = done or due
            assert world.statuses() == ["resolved" if done else "firing"]
            assert world.one.reconciled == int(done)
        finally:
            world.close()


def test_thread_looks_until_it_is_stopped(tmp_path: Path) -> None:
    asked = []

    def ask_all(*_: object) -> Knowledge:
        asked.append(1)
        raise LookError("alertmanager", "away")

    world = World(tmp_path, ask_all, interval=Duration(0.001))
    world.one.start()
    until(lambda: len(asked) > 2, "several looks", seconds=30)
    world.close()
    until(lambda: "relay-reconcile" not in {one.name for one in threading.enumerate()}, "its end", seconds=30)


def test_fault_of_ours_is_counted_and_the_next_look_is_made(tmp_path: Path) -> None:
    faults = [ZeroDivisionError("ours")]

    def ask_all(urls: Sequence[str], _: object) -> Knowledge:
        if faults:
            raise faults.pop()
        return Knowledge(frozenset(), dict.fromkeys(urls, "x"), 60.0)

    world = World(tmp_path, ask_all)
    try:
        world.look()
        assert world.failures() == {"fault": 1}
        world.settle()
        world.post(WEB)
        assert [world.look(MINUTE) for _ in range(3)] == [0, 0, 1]
    finally:
        world.close()


@pytest.mark.parametrize(
    ("fresh", "expected", "heard"),
    [(True, True, True), (True, False, True), (False, False, True), (False, True, False)],
    ids=["comes", "comes unexpected", "nobody expects it", "stays away"],
)
def test_a_watchdog_that_stays_away_is_heard_of(*, fresh: bool, expected: bool, heard: bool) -> None:
    nobody: Any = None
    dog: Any = SimpleNamespace(is_fresh=fresh, is_expected=expected)
    made = _make_reconciler(Relay(alertmanager_urls=("http://x",)), nobody, dog)
    assert made is not None
    assert made._is_heard() is heard
