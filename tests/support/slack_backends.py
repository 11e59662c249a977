"""The same Slack twice, for the contract suite: ours, and a real workspace where SLACK_TEST_TOKEN is set.

The app behind the token needs the scope chat:write and has to be in SLACK_TEST_CHANNEL. What is posted is deleted.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from exporter.logs import Secret
from exporter.relay.slack import Posted, Slack
from tests.support.fake_slack import TOKEN, FakeSlack


class SlackBackend(ABC):
    token: Secret
    channel: str
    slack: Slack

    @abstractmethod
    def delete(self, posted: Posted) -> None:
        """Delete a message, as somebody in the channel does."""

    @abstractmethod
    def pause(self) -> None:
        """Wait as long as Slack's pace asks for."""


class FakeBackend(SlackBackend):
    def __init__(self, fake: FakeSlack) -> None:
        self._fake, self.token, self.channel = fake, Secret(TOKEN), "#alerts"
        self.slack = Slack(fake.url, 5)

    def delete(self, posted: Posted) -> None:
        messages = self._fake.messages[posted.channel]
        messages[:] = [one for one in messages if one.ts != posted.ts]

    def pause(self) -> None:
        return  # ours sets no pace unless it is told to


class RealBackend(SlackBackend):
    def __init__(self) -> None:
        self.token = Secret(os.environ["SLACK_TEST_TOKEN"])
        self.channel = os.environ["SLACK_TEST_CHANNEL"]
        self.slack = Slack("https://slack.com/api/", 15)

    def delete(self, posted: Posted) -> None:
        client = WebClient(token=self.token.reveal(), timeout=15)
        with suppress(SlackApiError):
            client.chat_delete(channel=posted.channel, ts=posted.ts)

    def pause(self) -> None:
        time.sleep(1.1)  # a message a second in one channel


@contextmanager
def fake_backend() -> Iterator[SlackBackend]:
    with FakeSlack() as fake:
        yield FakeBackend(fake)


@contextmanager
def real_backend() -> Iterator[SlackBackend]:
    yield RealBackend()


BACKENDS = {"fake": fake_backend}
# without a workspace these are no skips: they are not there
if os.environ.get("SLACK_TEST_TOKEN") and os.environ.get("SLACK_TEST_CHANNEL"):
    BACKENDS["real"] = real_backend
