"""Folding: what came, one snapshot after the other, becomes episodes and lines; nothing that is true is dropped."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.relay.episodes import Episode, Group
from exporter.relay.folding import Fold
from exporter.relay.intake import REPLAYED
from exporter.relay.queue import DurableQueue
from exporter.relay.settings import Limits
from exporter.relay.storage import Arrival, Told, Waiting, Work
from tests.support.relay import alert, payload, resolved

A, B = alert(), alert(instance="web-02:9100")
BUSIER = alert(annotations={"description": "CPU busy 94.0%"})
BUSIEST = alert(annotations={"description": "CPU busy 99.0%"})
REPEAT = "repeat interval elapsed"


def folded(*came: tuple[float, Any], told: float | None = None, group: Group | None = None) -> Told:
    """Fold pairs of a second and a webhook's body as one piece of work."""
    waiting = tuple(Waiting(n, json.dumps(body).encode(), at) for n, (at, body) in enumerate(came, start=1))
    return Fold(600)(Work(1, group or Group(), waiting, told))


def kinds(told: Told) -> list[str]:
    return [change.line.kind for telling in told.tellings for change, _ in telling.changes]


def newest(told: Told) -> Episode:
    assert told.group.episode is not None
    return told.group.episode


def test_an_alert_that_timed_out_and_goes_on_fires_again_in_a_new_message() -> None:
    # Prometheus could not reach Alertmanager for 5 minutes; then it goes on with the startsAt that it had
    told = folded((1000.0, payload(A)), (1300.0, payload(resolved(A))), (1390.0, payload(A)))
    assert (newest(told).number, newest(told).status) == (2, "firing")
    assert kinds(told) == ["opened", "resolved", "opened"]


def test_an_alert_that_goes_on_beside_another_is_told_as_one_more() -> None:
    told = folded((1000.0, payload(A, B)), (1300.0, payload(resolved(A), B)), (1390.0, payload(A, B)))
    assert kinds(told) == ["opened", "fewer", "more"]
    assert len(newest(told).firing) == 2


def test_a_repetition_of_what_was_taken_for_a_copy_fires_again() -> None:
    told = folded(
        (1000.0, payload(A)),
        (1300.0, payload(resolved(A))),
        (1310.0, payload(A)),
        (4900.0, payload(A, notification_reason=REPEAT)),
    )
    assert kinds(told) == ["opened", "resolved", "opened"]


def test_a_peers_late_copy_is_not_told() -> None:
    told = folded((1000.0, payload(A)), (1060.0, payload(resolved(A))), (1075.0, payload(A)))
    assert kinds(told) == ["opened", "resolved"]


def test_a_late_copy_that_was_believed_ends_with_that_peers_own_end() -> None:
    end = payload(resolved(A))
    told = folded((1000.0, payload(A)), (1060.0, end), (1110.0, payload(A)), (1120.0, end))
    assert (newest(told).number, newest(told).status) == (2, "resolved")


def test_what_somebody_replays_undoes_no_end() -> None:
    told = folded(
        (1000.0, payload(A)), (1060.0, payload(resolved(A))), (9000.0, payload(A, notification_reason=REPLAYED))
    )
    assert newest(told).status == "resolved"


def test_an_end_with_an_earlier_start_is_told() -> None:
    early = resolved({**A, "startsAt": "2026-11-20T15:06:00Z"}, "2026-11-20T15:30:00Z")
    assert kinds(folded((1000.0, payload(A)), (2000.0, payload(early)))) == ["opened", "resolved"]
    assert kinds(folded((1000.0, payload(A, B)), (2000.0, payload(early, B)))) == ["opened", "fewer"]


@pytest.mark.parametrize(
    ("received", "more", "expected"),
    [
        (1600.0, {}, ["repeated"]),
        (1120.0, {"notification_reason": REPEAT}, ["repeated"]),
        (1030.0, {}, []),
        (1030.0, {"notification_reason": REPEAT}, []),
        (9000.0, {"notification_reason": "some alerts resolved"}, []),
    ],
    ids=["by time", "by its word", "too early", "a peer's copy of one", "another reason"],
)
def test_a_repetition_with_other_words_is_a_reminder_too(received: float, more: Any, expected: list[str]) -> None:
    first = folded((1000.0, payload(A)))
    again = folded((received, payload(BUSIER, **more)), told=1000.0, group=first.group)
    assert kinds(again) == expected
    (telling,) = again.tellings
    assert (telling.changed, telling.episode.alerts[0].annotations["description"]) == (True, "CPU busy 94.0%")


def test_other_words_alone_put_no_reminder_off() -> None:
    told = folded((1000.0, payload(A)), (1300.0, payload(BUSIER)), (1601.0, payload(BUSIEST)))
    assert kinds(told) == ["opened", "repeated"]


def test_other_words_alone_put_no_reminder_off_over_the_disk(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path / "relay.db", Limits())
    for received, body in ((1000.0, payload(A)), (1300.0, payload(BUSIER)), (1601.0, payload(BUSIEST))):
        queue.store(Arrival("slack", "g", b"", json.dumps(body).encode(), received)).result(10)
        work = queue.take().result(10)
        assert work is not None
        told = Fold(600)(work)
        queue.run(queue.settling(work, told, live=True)).result(10)
    assert kinds(told) == ["repeated"]
    assert queue.close()
