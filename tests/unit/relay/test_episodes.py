"""Episodes: any order, any number of copies, and the state is right."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.relay.episodes import MAX_PAST, Group, apply
from exporter.relay.intake import parse_snapshot
from tests.support.effort import tries
from tests.support.relay import alert, payload, resolved

LATER = "2026-11-20T16:00:00Z"


def snapshot(*alerts: Any, **more: Any) -> Any:
    return parse_snapshot(json.dumps(payload(*alerts, groupKey="g", **more)).encode())


def fold(*snapshots: Any, group: Any = None) -> Any:
    group = group or Group()
    for one in snapshots:
        group = apply(group, one)
    return group


def statuses(group: Any) -> Any:
    return {a.identity: a.status for a in group.episode.alerts}


A, B = alert(instance="a"), alert(instance="b")


def test_the_first_alert_opens_an_episode() -> None:
    group = fold(snapshot(A))
    assert (group.episode.number, group.episode.status) == (1, "firing")


def test_a_copy_from_a_peer_changes_nothing() -> None:
    group = fold(snapshot(A))
    assert apply(group, snapshot(A, externalURL="http://peer:9093")) is group


def test_an_alert_never_goes_back_from_resolved_to_firing() -> None:
    group = fold(snapshot(A), snapshot(resolved(A)))
    assert apply(group, snapshot(A)) is group


def test_one_of_two_resolved_keeps_the_episode_firing() -> None:
    group = fold(snapshot(A, B), snapshot(resolved(A), B))
    assert group.episode.status == "firing"
    assert [a.labels["instance"] for a in group.episode.resolved] == ["a"]


def test_a_new_start_after_all_resolved_opens_a_new_episode() -> None:
    group = fold(snapshot(A), snapshot(resolved(A)), snapshot({**A, "startsAt": LATER}))
    assert (group.episode.number, group.episode.status, group.episode.began) == (2, "firing", LATER)


def test_a_new_start_within_an_episode_stays_in_it() -> None:
    group = fold(snapshot(A, B), snapshot(resolved(A), B), snapshot({**A, "startsAt": LATER}, B))
    assert (group.episode.number, len(group.episode.firing)) == (1, 2)
    assert group.episode.began == A["startsAt"]


def test_late_copies_of_a_past_episode_are_stale() -> None:
    group = fold(snapshot(A, B), snapshot(resolved(A), resolved(B)), snapshot({**A, "startsAt": LATER}))
    for late in (snapshot(A, B), snapshot(resolved(A), resolved(B)), snapshot(resolved(B))):
        assert apply(group, late) is group


def test_what_fired_and_resolved_unseen_is_an_episode_of_its_own() -> None:
    group = fold(snapshot(A), snapshot(resolved(A)), snapshot(resolved({**A, "startsAt": LATER})))
    assert (group.episode.number, group.episode.status) == (2, "resolved")


def test_a_snapshot_without_an_alert_does_not_resolve_it() -> None:
    assert len(fold(snapshot(A, B), snapshot(B)).episode.firing) == 2


def test_the_later_text_of_a_firing_alert_wins() -> None:
    newer = {**A, "annotations": {"description": "94%"}}
    assert fold(snapshot(A), snapshot(newer)).episode.alerts[0].annotations == {"description": "94%"}


def test_the_end_of_an_episode_is_the_last_end() -> None:
    group = fold(snapshot(resolved(A, LATER), resolved(B)))
    assert group.episode.ended == group.episode.alerts[0].ended
    assert fold(snapshot(A)).episode.ended is None


def test_alerts_without_a_fingerprint_are_told_apart_by_their_labels() -> None:
    a, b = {**A, "fingerprint": ""}, {**B, "fingerprint": ""}
    assert len(fold(snapshot(a, b), snapshot(a, b)).episode.alerts) == 2


def test_what_is_kept_of_past_alerts_is_bounded() -> None:
    many = [alert(instance=str(n)) for n in range(MAX_PAST + 10)]
    group = fold(snapshot(*many), snapshot(*map(resolved, many)), snapshot({**A, "startsAt": LATER}))
    assert len(group.past) == MAX_PAST


# a run of Alertmanager: what the group's alerts (a, b, c) are at each flush, with a new start each time one fires again
@st.composite
def runs(draw: Any) -> Any:
    flushes, starts, state = [], dict.fromkeys("abc", 0), {}
    for minute in range(1, draw(st.integers(2, 8))):
        told = []
        for name in "abc":
            now = draw(st.sampled_from(["firing", "quiet"]))
            one = alert(instance=name, startsAt=f"2026-11-20T15:{starts[name]:02}:00Z")
            if now == "firing":
                if state.get(name) != "firing":
                    starts[name] = minute
                    one["startsAt"] = f"2026-11-20T15:{minute:02}:00Z"
                told.append(one)
            elif state.get(name) == "firing":
                told.append(resolved(one, f"2026-11-20T15:{minute:02}:00Z"))
            state[name] = now
        if told:
            flushes.append(snapshot(*told))
    return flushes


@given(runs())
def test_in_order_the_state_is_alertmanagers(flushes: Any) -> None:
    group = fold(*flushes)
    if flushes:
        last = {a.identity: a.status for a in flushes[-1].alerts}
        assert {key: statuses(group)[key] for key in last} == last
        assert group.episode.status == flushes[-1].status


@given(runs())
@settings(max_examples=tries(200))
def test_each_delivered_twice_makes_the_same_episodes(flushes: Any) -> None:
    once, twice = Group(), Group()
    for one in flushes:
        once = apply(once, one)
        twice = apply(apply(twice, one), one)
    assert once == twice


@given(runs(), st.randoms(use_true_random=False))
@settings(max_examples=tries(300))
def test_in_any_order_the_final_state_of_each_alert_is_right(flushes: Any, random: Any) -> None:
    mixed = [*flushes, *flushes]
    random.shuffle(mixed)
    group = fold(*mixed)
    newest = {}
    for one in flushes:
        for a in one.alerts:
            newest[a.identity] = max(newest.get(a.identity, (-1, "")), (a.began, a.status))
    if flushes:
        for key, status in statuses(group).items():
            assert newest[key][1] == status
        firing = {key for key, (_, status) in newest.items() if status == "firing"}
        assert {a.identity for a in group.episode.firing} == firing


@given(runs(), st.randoms(use_true_random=False))
def test_no_snapshot_ever_turns_a_resolved_alert_back(flushes: Any, random: Any) -> None:
    mixed = [*flushes, *flushes]
    random.shuffle(mixed)
    group, done = Group(), set()
    for one in mixed:
        group = apply(group, one)
        assert not {(a.identity, a.starts_at) for a in group.episode.firing} & done
        done |= {(a.identity, a.starts_at) for a in group.episode.resolved}
