"""Episodes: any order, any number of copies, and the state is right."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.relay.episodes import LATE_SECONDS, MAX_PAST, MAX_RESOLVED, Group, apply
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


AGAIN = 1000.0 + LATE_SECONDS


def at(*told: Any, group: Any = None) -> Any:
    """Fold pairs of the second at which a snapshot came, and the snapshot."""
    group = group or Group()
    for received, one in told:
        group = apply(group, one, received)
    return group


@pytest.mark.parametrize("start", [A["startsAt"], "2026-11-20T15:06:00Z"], ids=["the same start", "an earlier one"])
def test_what_fires_long_after_its_end_came_fires_again(start: str) -> None:
    group = at((900.0, snapshot(A)), (1000.0, snapshot(resolved(A))), (AGAIN, snapshot({**A, "startsAt": start})))
    assert (group.episode.number, group.episode.status) == (2, "firing")
    assert at((AGAIN + 60, snapshot(resolved({**A, "startsAt": start}))), group=group).episode.status == "resolved"


@pytest.mark.parametrize("received", [1000.0, AGAIN - 1, 990.0], ids=["at once", "soon", "a clock set back a little"])
def test_what_fires_soon_after_its_end_came_is_a_peers_late_copy(received: float) -> None:
    group = at((900.0, snapshot(A)), (1000.0, snapshot(resolved(A))))
    assert apply(group, snapshot(A), received) is group


def test_the_copy_of_an_end_that_nobody_saw_begin_is_told_apart_too() -> None:
    group = at((1000.0, snapshot(resolved(A))))
    assert apply(group, snapshot(A), 1010.0) is group
    assert apply(group, snapshot(A), AGAIN).episode.number == 2


def test_an_alert_that_fires_again_beside_another_stays_in_the_episode() -> None:
    group = at((900.0, snapshot(A, B)), (1000.0, snapshot(resolved(A), B)))
    assert apply(group, snapshot(A, B), 1010.0) is group
    again = apply(group, snapshot(A, B), AGAIN)
    assert (again.episode.number, len(again.episode.firing)) == (1, 2)


def test_an_end_that_nobody_heard_of_outweighs_an_older_start_beside_it() -> None:
    end = resolved({**A, "startsAt": LATER}, "2026-11-20T16:10:00Z")
    group = at((900.0, snapshot(A)), (1000.0, snapshot(resolved(A))), (AGAIN, snapshot(end, A)))
    assert (group.episode.number, group.episode.status) == (2, "resolved")


def test_an_alert_of_an_earlier_episode_fires_again_once_its_copies_are_over() -> None:
    later = {**B, "startsAt": LATER}
    group = at((900.0, snapshot(A)), (1000.0, snapshot(resolved(A))), (1001.0, snapshot(later)))
    assert apply(group, snapshot(A), 1010.0) is group
    assert len(apply(group, snapshot(A), AGAIN).episode.firing) == 2


def test_ends_are_kept_no_longer_than_their_copies_come() -> None:
    group = at((900.0, snapshot(A)), (1000.0, snapshot(resolved(A))), (AGAIN, snapshot({**B, "startsAt": LATER})))
    assert group.episode.ends == {}


def test_an_end_with_an_earlier_start_ends_the_alert_that_fires() -> None:
    early = resolved({**A, "startsAt": "2026-11-20T15:06:00Z"}, "2026-11-20T15:30:00Z")
    for group in (fold(snapshot(A), snapshot(early)), fold(snapshot(A, B), snapshot(early, resolved(B)))):
        assert group.episode.status == "resolved"
        assert apply(group, snapshot(early)) is group
        assert apply(group, snapshot(A)) is group


def test_an_end_before_the_start_that_is_known_is_stale() -> None:
    old = resolved({**A, "startsAt": "2026-11-20T15:00:00Z"}, "2026-11-20T15:05:00Z")
    group = fold(snapshot(A))
    assert apply(group, snapshot(old)) is group


def test_an_earlier_start_of_what_fires_says_nothing() -> None:
    group = at((1000.0, snapshot(A)))
    assert apply(group, snapshot({**A, "startsAt": "2026-11-20T15:00:00Z"}), 9000.0) is group


def waves(count: int) -> Any:
    """Return a group in which so many alerts fired and were resolved, one a minute, beside one that fires on."""
    group = at((0.0, snapshot(B)))
    for n in range(count):
        one = alert(instance=f"h{n:04}", startsAt=f"2026-11-20T{n // 60:02}:{n % 60:02}:00Z")
        end = resolved(one, f"2026-11-20T{n // 60:02}:{n % 60:02}:50Z")
        group = at((n * 60.0, snapshot(one, B)), (n * 60.0 + 50, snapshot(end, B)), group=group)
    return group


def test_an_episode_that_goes_on_keeps_its_newest_ends_and_counts_the_others() -> None:
    group = waves(MAX_RESOLVED + 50)
    episode = group.episode
    # those of which copies may come yet are kept beyond
    assert MAX_RESOLVED <= len(episode.resolved) <= MAX_RESOLVED + 1
    assert len(episode.resolved) + episode.more_resolved == MAX_RESOLVED + 50
    assert min(one.labels["instance"] for one in episode.resolved) > "h0048"
    assert (len(episode.firing), episode.began) == (1, "2026-11-20T00:00:00Z")


def test_what_an_episode_keeps_no_longer_is_stale_all_the_same() -> None:
    group = waves(MAX_RESOLVED + 50)
    first = alert(instance="h0000", startsAt="2026-11-20T00:00:00Z")
    for late in (snapshot(first, B), snapshot(resolved(first, "2026-11-20T00:00:50Z"), B)):
        assert apply(group, late) is group
    again = apply(group, snapshot({**first, "startsAt": LATER}, B))
    assert {one.labels["instance"] for one in again.episode.firing} == {"b", "h0000"}


def test_many_that_end_at_once_are_all_told() -> None:
    many = [alert(instance=str(n)) for n in range(MAX_RESOLVED + 10)]
    group = at((0.0, snapshot(*many)), (1.0, snapshot(*map(resolved, many))))
    assert len(group.episode.resolved) == MAX_RESOLVED + 10
    assert apply(group, snapshot(*map(resolved, many)), 2.0) is group


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


@given(runs(), st.randoms(use_true_random=False))
def test_while_late_copies_may_come_the_order_says_nothing_of_time(flushes: Any, random: Any) -> None:
    mixed = [*flushes, *flushes]
    random.shuffle(mixed)
    group, plain = at(*((1000.0 + n, one) for n, one in enumerate(mixed))), fold(*mixed)
    assert (group.past, statuses(group) if flushes else {}) == (plain.past, statuses(plain) if flushes else {})


@given(runs())
@settings(max_examples=tries(200))
def test_a_peer_that_is_a_flush_behind_changes_nothing(flushes: Any) -> None:
    alone, pair = Group(), Group()
    for n, one in enumerate(flushes):
        alone, pair = apply(alone, one, n * 60.0), apply(pair, one, n * 60.0)
        pair = apply(pair, flushes[max(0, n - 1)], n * 60.0 + 15)
    assert pair == alone
