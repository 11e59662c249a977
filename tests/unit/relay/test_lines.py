"""The thread: each change of state once, in words."""

import json
from typing import Any

import msgspec
import pytest

from exporter.relay.episodes import Group, apply
from exporter.relay.folding import Fold
from exporter.relay.intake import parse_snapshot
from exporter.relay.lines import MAX_TEXT, Line, changes, fitting, thread_text
from exporter.relay.storage import Waiting, Work
from tests.support.relay import alert, payload, resolved

A, B = alert(), alert(instance="web-02:9100", startsAt="2026-11-20T15:10:00Z")
MILD = alert(labels={"severity": "warning"}, fingerprint="x")
SEVERE = alert(labels={"severity": "critical"}, fingerprint="x")


def body(*alerts: Any, **more: Any) -> bytes:
    return json.dumps(payload(*alerts, **more)).encode()


def told(*bodies: bytes) -> list[tuple[str, bool, bool]]:
    """Return kind, broadcast and held of all lines that bodies, one after the other, come to."""
    group, out = Group(), []
    for one in bodies:
        after = apply(group, parse_snapshot(one))
        assert after.episode is not None
        if after != group:
            out += [(c.line.kind, c.broadcast, c.held) for c in changes(group.episode, after.episode)]
        group = after
    return out


OPENED, MORE, FEWER, END = (
    ("opened", False, True),
    ("more", True, False),
    ("fewer", False, False),
    ("resolved", False, False),
)


@pytest.mark.parametrize(
    ("bodies", "lines"),
    [
        ([body(A)], [OPENED]),
        ([body(A), body(A)], [OPENED]),
        ([body(A), body(A, B)], [OPENED, MORE]),
        ([body(A, B), body(resolved(A), B)], [OPENED, FEWER]),
        ([body(A, B), body(resolved(A), resolved(B))], [OPENED, END]),
        ([body(resolved(A))], [OPENED, END]),
        ([body(MILD), body(SEVERE)], [OPENED, ("worse", True, False)]),
        ([body(SEVERE), body(MILD)], [OPENED]),
        ([body(A), body(alert(annotations={"summary": "other"}))], [OPENED]),
        ([body(A), body(resolved(A)), body(alert(startsAt="2026-11-20T16:00:00Z"))], [OPENED, END, OPENED]),
    ],
    ids=[
        "opened is held",
        "a copy says nothing",
        "more reaches the channel",
        "fewer",
        "resolved",
        "resolved unseen",
        "worse",
        "milder is no line",
        "other words are no line",
        "a new episode opens again",
    ],
)
def test_each_change_is_a_line(bodies: list[bytes], lines: list[tuple[str, bool, bool]]) -> None:
    assert told(*bodies) == lines


def test_how_long_it_lasted_counts_from_its_first_alert_kept_or_not() -> None:
    whole = apply(Group(), parse_snapshot(body(B))).episode
    assert whole is not None
    before = msgspec.structs.replace(whole, began="2026-11-20T13:18:40Z", more_resolved=1)
    after = apply(Group(episode=before), parse_snapshot(body(resolved(B)))).episode
    assert after is not None
    (change,) = changes(before, after)
    assert change.line.text.endswith("*RESOLVED* after 2 h")


def reminded(received: float, **more: Any) -> list[str]:
    """Return the kinds of the lines of a copy that comes `received` seconds after the first."""
    fold = Fold(600)
    first = fold(Work(1, Group(), (Waiting(1, body(A), 1000.0),)))
    again = fold(Work(1, first.group, (Waiting(2, body(A, **more), 1000.0 + received),), told=1000.0))
    return [change.line.kind for telling in again.tellings for change, _ in telling.changes]


@pytest.mark.parametrize(
    ("received", "more", "kinds"),
    [
        (30.0, {}, []),
        (601.0, {}, ["repeated"]),
        (30.0, {"notification_reason": "repeat interval elapsed"}, []),
        (130.0, {"notification_reason": "repeat interval elapsed"}, ["repeated"]),
        (9000.0, {"notification_reason": "new alerts added"}, []),
    ],
    ids=["a peer's copy", "a repetition by time", "a peer's copy of one", "a repetition by its word", "another reason"],
)
def test_a_repetition_is_a_reminder_and_a_clusters_copy_is_not(
    received: float, more: dict[str, str], kinds: list[str]
) -> None:
    assert reminded(received, **more) == kinds


def test_lines_that_do_not_fit_one_message_go_with_the_next() -> None:
    lines = [Line("more", "x" * 1000, 1) for _ in range(7)]
    taken = []
    while lines:
        part = fitting(lines)
        assert len(thread_text(part)) <= MAX_TEXT + 100
        taken.append(len(part))
        lines = lines[len(part) :]
    assert sum(taken) == 7


def test_values_of_labels_cannot_mention_anybody() -> None:
    one = alert(instance="<!channel>", name="<@U123>")
    after = apply(Group(), parse_snapshot(body(one))).episode
    assert after is not None
    (change,) = changes(None, after)
    assert "<!channel>" not in change.line.text
    assert "<@U123>" not in change.line.text
