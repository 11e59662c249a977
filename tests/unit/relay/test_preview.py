"""The worker: what it does when the database or a message fails."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from exporter.relay import preview
from exporter.relay.preview import Preview
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.settings import Limits
from exporter.relay.storage import Arrival
from tests.support.relay import payload


@pytest.fixture
def queue(tmp_path: Path) -> Any:
    one = DurableQueue(tmp_path / "relay.db", Limits())
    yield one
    assert one.close()


def store(queue: Any, group: Any = "g") -> None:
    body = json.dumps(payload(groupKey=group)).encode()
    queue.store(Arrival(receiver="slack", group_key=group, digest=b"", body=body, received=1.0)).result(10)


def test_one_group_that_cannot_be_told_does_not_hold_up_the_others(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = preview.render
    shown = []

    def render(episode: Any, url: str) -> Any:
        if episode.group_key == "bad":
            raise ZeroDivisionError
        return real(episode, url)

    monkeypatch.setattr(preview, "render", render)
    store(queue, "bad")
    store(queue, "good")
    worker = Preview(queue, None, lambda: shown.append(1))

    async def work() -> None:
        while await worker.step():
            pass

    asyncio.run(work())
    assert (worker.failed, len(shown)) == (1, 1)
    assert (queue.stats.depth, queue.stats.dead_letters) == (0, 1)


def test_a_failing_database_is_asked_again_and_a_message_logged_once(
    queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "RETRY_SECONDS", 0.01)
    shown, failures = [], [StoreError("full")] * 3
    real = queue.settle

    def settle(work: Any, told: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(work, told)

    monkeypatch.setattr(queue, "settle", settle)
    store(queue)
    worker = Preview(queue, None, lambda: shown.append(1))

    async def work() -> None:
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(10):
            while queue.stats.depth:  # noqa: ASYNC110 -- the queue's thread sets no event of this loop
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(work())
    assert len(shown) == 1
