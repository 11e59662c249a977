"""Dead letters: listed, and back in the queue when they can be read or delivered."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from exporter.relay import letters
from exporter.relay.queue import DurableQueue
from exporter.relay.settings import Limits
from exporter.relay.storage import DeadLetter, StoreFullError
from tests.support.delivery_bench import Bench
from tests.support.fake_slack import Fault
from tests.support.relay import alert, payload, resolved

A, B = alert(), alert(instance="web-02:9100")


def bury(queue: DurableQueue, body: Any, reason: str = "payload") -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    queue.bury(DeadLetter(reason=reason, detail="why", body=data, received=5.0)).result(10)


def replay(queue: DurableQueue, letter: int, limit: int = 100) -> str:
    return queue.run(lambda db: letters.replay(db, letter, 9.0, limit)).result(10)


def ids(queue: DurableQueue) -> list[int]:
    return queue.run(letters.ids).result(10)


def test_letters_are_listed_newest_first_and_cut(bench: Bench) -> None:
    bury(bench.queue, b"{nope \xff", "not_json")
    bury(bench.queue, b"x" * 20_000)
    bury(bench.queue, b"x" * 20_000)
    new, old = bench.queue.run(letters.listed).result(10)
    assert (new.body_bytes, len(new.body), new.times) == (20_000, letters.MAX_SHOWN, 2)
    assert (old.reason, old.detail, old.body, old.received) == ("not_json", "why", "{nope �", 5.0)


def test_what_can_be_read_now_is_read_and_delivered(bench: Bench) -> None:
    bury(bench.queue, payload(A))
    assert replay(bench.queue, 1) == ""
    assert ids(bench.queue) == []
    bench.run()
    assert len(bench.slack.roots()) == 1


@pytest.mark.parametrize(
    ("body", "reason", "text"),
    [
        (b"{nope", "not_json", "still cannot be read"),
        (b"{}", "payload", "still cannot be read"),
        (b"[]", "slack", "cannot be read"),
    ],
)
def test_what_still_cannot_be_read_stays(bench: Bench, body: bytes, reason: str, text: str) -> None:
    bury(bench.queue, body, reason)
    assert text in replay(bench.queue, 1)
    assert (ids(bench.queue), bench.queue.stats.depth, bench.queue.writable) == ([1], 0, True)


def test_a_letter_that_is_not_there_is_told(bench: Bench) -> None:
    assert "no such" in replay(bench.queue, 7)


def test_a_full_queue_keeps_the_letter(bench: Bench) -> None:
    bury(bench.queue, payload(A))
    with pytest.raises(StoreFullError):
        replay(bench.queue, 1, limit=0)
    assert ids(bench.queue) == [1]


def refused(bench: Bench, *alerts: Any) -> int:
    """Let Slack refuse a message for its form and return the dead letter's number."""
    bench.slack.fault = lambda *_: Fault(error="msg_too_long")
    bench.store(*alerts)
    bench.run()
    bench.slack.fault = lambda *_: None
    return ids(bench.queue)[-1]


def test_what_slack_refused_for_its_form_is_sent_again(bench: Bench) -> None:
    letter = refused(bench, A)
    assert bench.slack.roots() == []
    assert replay(bench.queue, letter) == ""
    bench.run()
    (root,) = bench.slack.roots()
    assert root.text.startswith(":red_circle:")


def test_lines_that_slack_refused_are_sent_again(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    bench.slack.fault = lambda _, arguments: Fault(error="msg_too_long") if "thread_ts" in arguments else None
    bench.store(A, B)
    bench.run()
    bench.slack.fault = lambda *_: None
    (root,) = bench.slack.roots()
    assert bench.slack.thread(root) == []
    assert replay(bench.queue, ids(bench.queue)[-1]) == ""
    bench.run()
    (line,) = bench.slack.thread(root)
    assert "Also firing" in line.text


def forget(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM episodes")
    db.execute("DELETE FROM groups")


def test_a_message_that_is_forgotten_meanwhile_is_told_from_its_letter(bench: Bench) -> None:
    letter = refused(bench, A)
    bench.queue.run(forget).result(10)
    assert replay(bench.queue, letter) == ""
    bench.run()
    assert "web-01" in bench.slack.roots()[0].text


def test_an_old_firing_letter_does_not_undo_a_resolved_message(bench: Bench) -> None:
    bury(bench.queue, payload(A, groupKey="g"))
    bench.store(A)
    bench.store(resolved(A))
    bench.run()
    assert replay(bench.queue, 1) == ""
    bench.run()
    (root,) = bench.slack.roots()
    assert "RESOLVED" in root.text


def discard(queue: DurableQueue, *wanted: int) -> list[letters.Head]:
    return queue.run(lambda db: letters.discard(db, wanted)).result(10)


def test_what_is_discarded_is_gone_and_told(bench: Bench) -> None:
    bury(bench.queue, b"{nope", "not_json")
    bury(bench.queue, b"{}")
    (gone,) = discard(bench.queue, 1, 7, 1)
    assert (gone.id, gone.reason, gone.detail, gone.received, gone.body_bytes) == (1, "not_json", "why", 5.0, 5)
    assert (ids(bench.queue), bench.queue.stats.dead_letters) == ([2], 1)


@pytest.mark.parametrize(
    ("body", "encoding", "told"),
    [
        ("{né".encode(), "utf-8", "{né"),
        (b"x" * 20_000, "utf-8", "x" * 20_000),
        (b"\xff\x00", "base64", "/wA="),
    ],
    ids=["text", "longer than the list shows", "no text"],
)
def test_a_letter_is_told_whole(bench: Bench, body: bytes, encoding: str, told: str) -> None:
    bury(bench.queue, body, "not_json")
    found = bench.queue.run(lambda db: letters.whole(db, 1)).result(10)
    assert found is not None
    assert (found.id, found.reason, found.body_bytes) == (1, "not_json", len(body))
    assert (found.encoding, found.body) == (encoding, told)
    assert bench.queue.run(lambda db: letters.whole(db, 2)).result(10) is None


def test_there_is_room_again_for_letters_once_some_are_discarded(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path / "other.db", Limits(dead_letters=1))
    bury(queue, b"one")
    with pytest.raises(StoreFullError):
        bury(queue, b"two")
    discard(queue, 1)
    bury(queue, b"two")
    assert ids(queue) == [2]
    assert queue.close()


def test_a_closed_queue_has_limits_as_before(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path / "other.db", Limits(dead_letters=1))
    bury(queue, b"one")
    with pytest.raises(StoreFullError):
        bury(queue, b"two")
    assert queue.close()
