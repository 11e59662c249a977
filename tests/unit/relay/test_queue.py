"""The queue: durable, ordered per group, bounded, for its owner only."""

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.relay import schema, storage
from exporter.relay.folding import Fold
from exporter.relay.queue import DurableQueue, QueueError, StoreError
from exporter.relay.settings import Limits
from exporter.relay.storage import Arrival, DeadLetter, StoreFullError
from tests.support.relay import alert, owner_only, payload, resolved


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """Return a function that opens the queue of this test with some limits."""
    queues = []

    def make(path: Any = tmp_path / "relay.db", **limits: Any) -> Any:
        queues.append(DurableQueue(path, msgspec.structs.replace(Limits(), **limits)))
        return queues[-1]

    yield make
    for queue in queues:
        assert queue.close()


def arrival(group: Any = "g", number: Any = 0, body: Any = None) -> Any:
    body = json.dumps(body or payload(groupKey=group)).encode()
    return Arrival(receiver="slack", group_key=group, digest=b"d", body=body, received=1000.0 + number)


def letter(text: str) -> Any:
    return DeadLetter(reason="not_json", detail="x", body=text.encode(), received=5.0)


def done(future: Any) -> Any:
    return future.result(10)


def finish(queue: Any) -> None:
    """Work off all that waits."""
    while work := done(queue.take()):
        done(queue.run(queue.settling(work, Fold(600.0)(work), live=False)))


def test_a_stored_snapshot_is_on_disk_when_its_future_is_done(opened: Any, tmp_path: Path) -> None:
    done(opened().store(arrival()))
    other = sqlite3.connect(tmp_path / "relay.db")
    assert other.execute("SELECT count(*) FROM snapshots").fetchone() == (1,)
    other.close()


def test_the_database_commits_to_disk_each_time(opened: Any) -> None:
    queue = opened()
    asked = done(
        queue._call(lambda db: [db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")])
    )
    assert asked == ["wal", 2]


def test_its_files_are_for_their_owner_only_also_when_they_were_not(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "relay.db").touch(0o666)
    (tmp_path / "relay.db").chmod(0o666)
    done(opened().store(arrival()))
    files = sorted(tmp_path.glob("relay.db*"))
    assert {path.name for path in files} == {"relay.db", "relay.db-wal", "relay.db-shm", "relay.db.lock"}
    assert all(owner_only(path) for path in files)


def test_snapshots_come_out_in_order_per_group_the_longest_waiting_group_first(opened: Any) -> None:
    queue = opened()
    for number in range(9):
        done(queue.store(arrival("abc"[number % 3], number)))
    seen = []
    while work := done(queue.take()):
        seen.append([int(one.received - 1000) for one in work.snapshots])
        done(queue.run(queue.settling(work, Fold(600.0)(work), live=False)))
    assert seen == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert queue.stats.depth == 0


def test_large_snapshots_are_folded_a_few_at_a_time(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MAX_WORK_BYTES", 100)
    queue = opened()
    for number in range(3):
        done(queue.store(arrival("g", number)))
    assert len(done(queue.take()).snapshots) == 1


def test_what_was_told_outlives_a_restart(opened: Any) -> None:
    queue = opened()
    done(queue.store(arrival(body=payload(alert()))))
    done(queue.store(arrival(body=payload(resolved(alert())))))
    finish(queue)
    assert queue.close()
    (shown,) = done(opened().recent(10))
    assert (shown.episode.status, shown.updates) == ("resolved", 1)


def test_messages_are_newest_first_by_news_not_by_clock(opened: Any) -> None:
    queue = opened()
    for name, received in (("a", 3000), ("b", 1000), ("c", 2000)):
        done(queue.store(arrival(name, received, payload(groupKey=name))))
    finish(queue)
    assert [shown.episode.group_key for shown in done(queue.recent(10))] == ["c", "b", "a"]


def test_a_full_queue_refuses_and_changes_nothing(opened: Any) -> None:
    queue = opened(queue_snapshots=2)
    done(queue.store(arrival()))
    done(queue.store(arrival()))
    with pytest.raises(StoreFullError, match="2 snapshots and messages wait"):
        done(queue.store(arrival("other")))
    assert queue.stats.depth == 2
    assert done(queue._call(lambda db: db.execute("SELECT count(*) FROM groups").fetchone())) == (1,)


def test_a_full_disk_refuses_and_stores_again_when_there_is_room(opened: Any) -> None:
    queue = opened()
    pages = done(queue._call(lambda db: db.execute("PRAGMA page_count").fetchone()[0]))
    done(queue._call(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchone()))
    with pytest.raises(StoreError, match="full"):
        done(queue.store(arrival(body=payload(alert(annotations={"x": "y" * 1_000_000})))))
    assert not queue.writable
    assert queue.failures == 1
    done(queue._call(lambda db: db.execute("PRAGMA max_page_count=100000").fetchone()))
    done(queue.store(arrival()))
    assert queue.writable


def test_what_waits_is_folded_into_a_full_database(opened: Any) -> None:
    queue = opened()
    for number in range(3):
        done(queue.store(arrival(number=number, body=payload(alert(annotations={"description": "y" * 100_000})))))
    pages = done(queue._call(lambda db: db.execute("PRAGMA page_count").fetchone()[0]))
    done(queue._call(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchone()))
    work = done(queue.take())
    done(queue.run(queue.settling(work, Fold(600.0)(work), live=True)))
    assert (queue.failures, queue.stats.firing, queue.stats.snapshots) == (0, 1, 0)


def test_one_that_fails_does_not_take_its_neighbours_with_it(opened: Any) -> None:
    queue = opened()
    gate = threading.Event()
    queue._call(lambda db: gate.wait(10))
    good = [queue.store(arrival(str(number))) for number in range(3)]
    bad = queue._call(lambda db: db.execute("INSERT INTO nowhere VALUES (1)"))
    good += [queue.store(arrival(str(number))) for number in range(3)]
    gate.set()
    with pytest.raises(StoreError, match="nowhere"):
        done(bad)
    assert len({done(future) for future in good}) == 6
    assert queue.stats.depth == 6


def test_many_at_once_are_all_stored_and_share_commits(opened: Any) -> None:
    queue = opened()
    commits = []
    done(queue._call(lambda db: db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)))
    with ThreadPoolExecutor(32) as pool:
        numbers = list(pool.map(lambda n: done(queue.store(arrival(str(n % 7), n))), range(400)))
    assert sorted(numbers) == list(range(1, 401))
    assert queue.stats.depth == 400
    assert len(commits) < 400


def test_a_cancelled_store_is_not_stored(opened: Any) -> None:
    queue = opened()
    gate, entered = threading.Event(), threading.Event()
    queue._call(lambda db: (entered.set(), gate.wait(10)))
    assert entered.wait(10)
    future = queue.store(arrival())
    assert future.cancel()
    gate.set()
    assert done(queue.take()) is None


def test_the_same_dead_letter_counts_and_others_are_bounded(opened: Any) -> None:
    queue = opened(dead_letters=2)
    for text in ("a", "b", "a", "a"):
        done(queue.bury(letter(text)))
    with pytest.raises(StoreFullError, match="2 dead letters"):
        done(queue.bury(letter("c")))
    assert queue.stats.dead_letters == 2
    assert done(queue._call(lambda db: db.execute("SELECT times FROM dead_letters").fetchall())) == [(3,), (1,)]


def test_what_cannot_be_told_becomes_a_dead_letter_beyond_any_limit(opened: Any) -> None:
    queue = opened(dead_letters=0)
    done(queue.store(arrival()))
    done(queue.give_up(done(queue.take()), "message", "ValueError"))
    assert (queue.stats.depth, queue.stats.dead_letters) == (0, 1)


def test_old_resolved_messages_are_forgotten_firing_ones_not(opened: Any) -> None:
    queue = opened(history=2)
    for number in range(6):
        one = alert() if number == 0 else resolved(alert())
        done(queue.store(arrival(str(number), number, payload(one, groupKey=str(number)))))
    finish(queue)
    assert [shown.episode.group_key for shown in done(queue.recent(10))] == ["5", "4", "0"]
    assert done(queue._call(lambda db: db.execute("SELECT count(*) FROM groups").fetchone())) == (3,)
    assert queue.stats.firing == 1


def test_a_second_relay_on_one_database_is_refused(opened: Any, tmp_path: Path) -> None:
    opened()
    with pytest.raises(QueueError, match=r"relay\.db: another relay uses it"):
        opened()


def test_a_database_of_a_newer_relay_is_refused(opened: Any, tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "relay.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(QueueError, match="written by a newer relay"):
        opened()


def test_what_is_no_database_is_refused_and_kept(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "relay.db").write_text("hello " * 1000)
    with pytest.raises(QueueError, match="not a database"):
        opened()
    assert (tmp_path / "relay.db").read_text().startswith("hello")


def test_a_folder_that_cannot_be_made_is_named(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueueError, match=r"file/relay\.db: File exists"):
        opened(tmp_path / "file" / "relay.db")


def test_an_older_database_is_brought_to_date_step_by_step() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db, ["CREATE TABLE a (x);"])
    schema.migrate(db, ["CREATE TABLE a (x);", "ALTER TABLE a ADD COLUMN y;"])
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert [row[1] for row in db.execute("PRAGMA table_info(a)")] == ["x", "y"]
    db.close()


def test_what_is_committed_is_not_done_again_where_counting_fails(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = opened()
    count = storage.read_stats
    failures = [sqlite3.OperationalError("disk I/O error")] * 3

    def read_stats(db: sqlite3.Connection) -> storage.Stats:
        if failures:
            raise failures.pop()
        return count(db)

    monkeypatch.setattr(storage, "read_stats", read_stats)
    assert done(queue.store(arrival())) == 1
    assert (queue.writable, queue.failures) == (True, 0)
    done(queue.store(arrival("h", 1)))
    done(queue.store(arrival("i", 2)))
    assert done(queue._call(lambda db: db.execute("SELECT count(*) FROM snapshots").fetchone())) == (3,)
    assert queue.stats.snapshots == 3, "counted again as soon as that works"


def test_a_closed_queue_refuses(opened: Any) -> None:
    queue = opened()
    assert queue.close()
    with pytest.raises(StoreError, match="closed"):
        queue.store(arrival())
