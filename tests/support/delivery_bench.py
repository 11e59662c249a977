"""A queue, a Slack that fails as it is told to, and a delivery between them."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from exporter.logs import Secret
from exporter.relay.calls import Caller
from exporter.relay.credentials import Credentials, SourceState
from exporter.relay.delivery import Delivery
from exporter.relay.queue import DurableQueue
from exporter.relay.settings import Limits, SlackSettings
from exporter.relay.slack import Slack
from exporter.relay.storage import Arrival
from exporter.settings import Duration
from tests.support.fake_slack import TOKEN, FakeSlack
from tests.support.relay import payload

QUICK: Final = {
    "retry_after": Duration(0.01),
    "posts_per_second": 1000.0,
    "burst": 100,
    "posts_per_minute": 60_000.0,
    "updates_per_minute": 60_000.0,
}


class Tokens:
    """A source of one token, which a test can change."""

    def __init__(self, token: str | None = TOKEN) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.version, self.refusals = 1, list[str]()
        self.token, self.channels = token, dict[str, str]()

    def current(self) -> Credentials | None:
        if self.token is None:
            return None
        return Credentials(Secret(self.token), str(self.version), "test", self.channels)

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""

    def refused(self, version: str) -> None:
        self.refusals.append(version)

    @property
    def state(self) -> SourceState:
        return SourceState(ok=True, text="", since=0)


class Bench:
    """A queue, a Slack and what is needed to run a delivery between them."""

    def __init__(self, folder: Path, slack: FakeSlack) -> None:
        self.queue = DurableQueue(folder / "relay.db", Limits())
        self.slack, self.tokens = slack, Tokens()
        self.now = 1_000_000.0
        self._number = 0

    def store(self, *alerts: Any, group: str = "g", receiver: str = "slack") -> None:
        body = json.dumps(payload(*alerts, groupKey=group, receiver=receiver)).encode()
        self._number += 1
        self.queue.store(Arrival(receiver, group, b"", body, self.now)).result(10)

    def make(self, monotonic: Callable[[], float] = time.monotonic, **settings: Any) -> Delivery:
        known = SlackSettings(**{"channel": "#alerts", "api_url": self.slack.url, **QUICK, **settings})
        caller = Caller(Slack(known.api_url, 1), known, None)
        return Delivery(
            self.queue,
            known,
            lambda *_: None,
            source=self.tokens,
            call=caller,
            clock=lambda: self.now,
            monotonic=monotonic,
        )

    def run(self, until: Callable[[], bool] | None = None, **settings: Any) -> Delivery:
        """Run a delivery until a condition holds; without one until nothing waits."""
        until = until or (lambda: self.queue.stats.depth == 0)

        async def run() -> Delivery:
            delivery = self.make(**settings)
            self.tokens.on_change = delivery.wake
            task = asyncio.create_task(delivery.run())
            async with asyncio.timeout(15):
                while not until():  # noqa: ASYNC110 -- what is waited for is on other threads
                    await asyncio.sleep(0.005)
            await delivery.finish(5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            delivery.stop()
            return delivery

        return asyncio.run(run())
