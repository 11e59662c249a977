"""Delivery without Slack: each message is made, logged, and kept for the relay's page, instead of being posted."""

import asyncio
from collections.abc import Callable
from typing import Final

from exporter.logs import Log
from exporter.relay.episodes import Group, apply
from exporter.relay.intake import parse_snapshot
from exporter.relay.message import render
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.storage import StoreFullError, Telling, Told, Work

_log = Log("exporter.relay.preview")

# after a failure of the database; a new webhook wakes the worker earlier
RETRY_SECONDS: Final = 1.0


def tell(work: Work) -> Told:
    """Return what a piece of work comes to: the group after its snapshots, and each episode that changed."""
    group, changed = work.group, {}
    for waiting in work.snapshots:
        after: Group = apply(group, parse_snapshot(waiting.body))
        if after != group and after.episode is not None:
            changed[after.episode.number] = Telling(
                episode=after.episode, snapshot_id=waiting.id, received=waiting.received
            )
        group = after
    return Told(group=group, tellings=tuple(changed.values()))


class Preview:
    """Takes waiting snapshots group by group. `previewed` and `failed` count since the start."""

    def __init__(self, queue: DurableQueue, relay_url: str | None, on_message: Callable[[], None]) -> None:
        self._queue, self._relay_url, self._on_message = queue, relay_url, on_message
        self._wake = asyncio.Event()
        # what the last work logged, so that a full disk does not make the same message be logged every second
        self._logged: tuple[int, str] | None = None
        self.failed = 0

    def wake(self) -> None:
        """Say that something waits."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. A failing database is asked again; what cannot be told becomes a dead letter."""
        while True:
            self._wake.clear()
            try:
                while await self.step():
                    pass
                await self._wake.wait()
            except (StoreError, StoreFullError):
                # the queue has logged it
                await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), RETRY_SECONDS)
        except TimeoutError:
            return

    async def step(self) -> bool:
        """Tell the group that has waited longest; False if nothing waits. Raises StoreError."""
        work = await asyncio.wrap_future(self._queue.take())
        if work is None:
            return False
        try:
            told = tell(work)
            self._log_messages(work, told)
        except Exception as err:  # noqa: BLE001 -- the boundary: one bad group must not hold up the others
            self.failed += 1
            _log.error("message failed, kept as dead letter", group=work.group_id, exc=err)
            await asyncio.wrap_future(self._queue.give_up(work, "message", type(err).__name__))
            return True
        await asyncio.wrap_future(self._queue.settle(work, told))
        return True

    def _log_messages(self, work: Work, told: Told) -> None:
        for telling in told.tellings:
            message = render(telling.episode, self._relay_url)
            if self._logged == (telling.snapshot_id, message.text):
                continue
            self._logged = telling.snapshot_id, message.text
            self._on_message()
            _log.info(
                "message previewed",
                group=telling.episode.group_key,
                receiver=telling.episode.receiver,
                episode=telling.episode.number,
                status=telling.episode.status,
                alerts=sorted({alert.name for alert in telling.episode.alerts}),
                text=message.text,
                snapshots=len(work.snapshots),
            )
