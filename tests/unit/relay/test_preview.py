"""Without Slack: each message is logged once, whatever fails."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.relay import delivery, preview
from exporter.relay.delivery import Delivery
from exporter.relay.preview import Preview
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.settings import Limits, SlackSettings
from exporter.relay.storage import Arrival
from tests.support.relay import payload


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
