"""Without Slack: each message is logged once, whatever fails, and what Slack was told before is not forgotten."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.relay import delivery, outbox, preview
from exporter.relay.delivery import Delivery
from exporter.relay.lines import Line
from exporter.relay.preview import Preview
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.settings import Limits, SlackSettings
from exporter.relay.storage import Arrival
from tests.support.delivery_bench import Bench
from tests.support.fake_slack import TOKEN, FakeSlack
from tests.support.relay import alert, payload, resolved


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Any]:
    one = DurableQueue(tmp_path / "relay.db", Limits())
    yield one
    assert one.close()


def store(queue: Any, group: Any = "g") -> None:
    body = json.dumps(payload(groupKey=group)).encode()
    queue.store(Arrival(receiver="slack", group_key=group, digest=b"", body=body, received=1.0)).result(10)


def test_a_group_that_cannot_be_folded_becomes_a_dead_letter_and_the_others_are_told(
    queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    store(queue, "bad")
    store(queue, "good")

    async def work() -> None:
        worker = Delivery(queue, SlackSettings(), Preview(None, lambda: shown.append(1)))
        real = worker._fold

        def fold(work: Any) -> Any:
            if b'"groupKey": "bad"' in work.snapshots[0].body:
                raise ZeroDivisionError
            return real(work)

        monkeypatch.setattr(worker, "_fold", fold)
        while await worker.step():
            pass
        assert (worker.state.failed, len(shown)) == (1, 1)

    asyncio.run(work())
    assert (queue.stats.depth, queue.stats.dead_letters) == (0, 1)


def test_a_message_that_cannot_be_logged_is_kept_and_counted(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "render", lambda *_: 1 / 0)
    store(queue)

    async def work() -> None:
        worker = Delivery(queue, SlackSettings(), Preview(None, lambda: None))
        while await worker.step():
            pass
        assert worker.state.failed == 1

    asyncio.run(work())
    assert [one.episode.group_key for one in queue.recent(5).result(10)] == ["g"]


def test_a_failing_database_is_asked_again_and_a_message_logged_once(
    queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_SECONDS", 0.01)
    shown, failures = [], [StoreError("full")] * 3
    real = queue.run

    def run(do: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(do)

    monkeypatch.setattr(queue, "run", run)
    store(queue)

    async def work() -> None:
        worker = Delivery(queue, SlackSettings(), Preview(None, lambda: shown.append(1)))
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(10):
            while queue.stats.depth or not shown:  # noqa: ASYNC110 -- the queue's thread sets no event of this loop
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(work())
    assert len(shown) == 1


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with FakeSlack() as slack:
        one = Bench(tmp_path / "bench", slack)
        yield one
        assert one.queue.close()


def preview_once(bench: Bench) -> None:
    """Fold what waits as a relay without a source of tokens does."""

    async def work() -> None:
        worker = Delivery(bench.queue, SlackSettings(), lambda *_: None)
        while await worker.step():
            pass

    asyncio.run(work())


A, B = alert(), alert(instance="web-02:9100")


def test_what_ends_in_preview_and_stands_in_slack_is_told_once_there_is_a_token_again(bench: Bench) -> None:
    bench.store(A, B)
    bench.run()
    for alerts in ((resolved(A), B), (resolved(A), resolved(B))):
        bench.store(*alerts)
        preview_once(bench)
    (root,) = bench.slack.roots()
    assert (root.edits, bench.queue.stats.messages) == (0, 1)
    bench.run()
    assert "RESOLVED" in root.text
    (lines,) = bench.slack.thread(root)
    assert [word for word in ("Firing", "1 still firing", "RESOLVED") if word in lines.text] == [
        "Firing",
        "1 still firing",
        "RESOLVED",
    ]


def test_what_waited_for_slack_and_ends_in_preview_is_told_as_over(bench: Bench) -> None:
    bench.tokens.token = None
    bench.store(A)
    bench.run(lambda: bench.queue.stats.snapshots == 0 and bench.queue.stats.messages == 1)
    bench.store(resolved(A))
    preview_once(bench)
    bench.tokens.token = TOKEN
    bench.run()
    assert ["RESOLVED" in root.text for root in bench.slack.roots()] == [True]


def test_a_note_in_preview_goes_to_the_thread_that_slack_shows_and_to_no_other(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    bench.store(B, group="other")
    preview_once(bench)
    note = Line("note", "who did it")
    for group in (1, 2):
        bench.queue.run(lambda db, group=group: outbox.add_note(db, group, 1, note, bench.now, live=False)).result(10)
    bench.store(resolved(B), group="other")
    preview_once(bench)
    bench.run()
    (root,) = bench.slack.roots()
    assert [one.text.count("who did it") for one in bench.slack.thread(root)] == [1]


def test_what_begins_and_ends_in_preview_is_not_told(bench: Bench) -> None:
    for one in (A, resolved(A)):
        bench.store(one)
        preview_once(bench)
    assert bench.queue.stats.depth == 0
    bench.store(B, group="other")
    bench.run()
    assert len(bench.slack.roots()) == 1
