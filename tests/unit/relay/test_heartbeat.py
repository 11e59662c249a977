"""The heartbeat: heard outside only while the Watchdog comes and Slack takes messages; its address stays secret."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter import logs
from exporter.relay.heartbeat import SLACK_SECONDS, Heartbeat
from exporter.relay.outcomes import State
from exporter.relay.settings import WatchdogSettings
from exporter.relay.slack import Slack
from tests.support.delivery_bench import Tokens
from tests.support.fake_fleet import FakeFleet
from tests.support.fake_slack import FakeSlack, Fault

CANARY = "heartbeat-canary-41d7"


class Dog:
    """What the heartbeat sees of the Watchdog."""

    is_fresh = True


class World:
    def __init__(self, folder: Path, slack: FakeSlack, outside: FakeFleet) -> None:
        self.slack, self.outside, self.dog, self.state = slack, outside, Dog(), State()
        self.tokens: Any = Tokens()
        self.wall, self.steady = 1_800_000_000.0, 5000.0
        self.file = folder / "url"
        self.file.touch(0o600)
        self.file.write_text(f"{outside.url}/{CANARY}\n")
        self.make()

    def make(self, **settings: Any) -> None:
        known = WatchdogSettings(**{"heartbeat_url_file": str(self.file), **settings})
        api: Any = Slack(self.slack.url, 2)
        dog: Any = self.dog
        clocks = {"clock": lambda: self.wall, "monotonic": lambda: self.steady}
        self.heart = Heartbeat(known, dog, self.state, self.tokens, api, **clocks)

    def turn(self) -> int:
        """Return how often the address was called."""
        asyncio.run(self.heart.turn())
        return len(self.outside.asked)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FakeSlack() as slack, FakeFleet() as outside:
        one = World(tmp_path, slack, outside)
        yield one
        one.heart.stop()


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, at every level."""
    out, logger = io.StringIO(), logging.getLogger("exporter.relay")
    handler = logging.StreamHandler(out)
    handler.setFormatter(logs.JsonFormatter())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel("DEBUG")
    yield out
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_all_is_well(world: World) -> None:
    assert (world.turn(), world.turn()) == (1, 2)
    assert (world.heart.sent, world.heart.last_success, world.heart.withheld) == (2, world.wall, "")
    # auth.test was asked once: its answer counts for a while
    assert world.slack.count("auth.test") == 1
    world.steady += SLACK_SECONDS + 1
    world.wall += SLACK_SECONDS + 1
    world.turn()
    assert world.slack.count("auth.test") == 2


def test_a_message_that_slack_took_says_as_much_as_auth_test(world: World) -> None:
    world.state.last_success = world.wall - 10
    assert (world.turn(), world.slack.calls) == (1, [])


def test_without_a_watchdog_nobody_hears_that_all_is_well(world: World) -> None:
    world.dog.is_fresh = False
    assert world.turn() == 0
    assert world.heart.withheld == "no Watchdog comes"
    world.dog.is_fresh = True
    assert world.turn() == 1


def test_with_a_slack_that_fails_nobody_hears_that_all_is_well(world: World) -> None:
    world.slack.fault = lambda *_: Fault(error="invalid_auth")
    assert world.turn() == 0
    assert "invalid_auth" in world.heart.withheld
    world.state.last_success, world.state.failing_since = world.wall - 20, world.wall - SLACK_SECONDS - 1
    world.state.last_error = "channel: channel_not_found"
    assert world.turn() == 0
    assert "channel_not_found" in world.heart.withheld


def test_without_a_token_nobody_hears_that_all_is_well(world: World) -> None:
    world.tokens.token = None
    assert world.turn() == 0
    world.tokens = None
    world.make()
    assert world.turn() == 0
    assert "preview" in world.heart.withheld


def test_without_an_address_there_is_none(world: World) -> None:
    world.make(heartbeat_url_file=None)
    assert not world.heart.is_set
    asyncio.run(asyncio.wait_for(world.heart.run(), 5))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "status": ({"status": 500}, "HTTP status 500"),
    "redirect": ({"status": 302, "headers": {"Location": "http://127.0.0.1:9/"}}, "HTTP status 302"),
}


@pytest.mark.parametrize(("how", "text"), FAULTS.values(), ids=FAULTS)
def test_what_is_answered_badly_is_counted_and_never_told_with_its_address(
    world: World, how: dict[str, Any], text: str, told: io.StringIO
) -> None:
    for name, value in how.items():
        setattr(world.outside, name, value)
    world.turn()
    assert (world.heart.sent, world.heart.failures, len(world.outside.asked)) == (0, 1, 1)
    assert text in told.getvalue()
    assert CANARY not in told.getvalue()


BAD_FILES = {
    "nothing there": "http://127.0.0.1:9/{}",
    "no address": "{}",
    "two": "http://127.0.0.1:9/{} x",
    "broken": "http://[{}",
    "bad port": "http://127.0.0.1:99999/{}",
    "control": "http://127.0.0.1:9/\x01{}",
}


@pytest.mark.parametrize("text", BAD_FILES.values(), ids=BAD_FILES)
def test_an_address_that_cannot_be_called_is_a_failure_and_stays_secret(
    world: World, text: str, told: io.StringIO
) -> None:
    world.file.write_text(text.format(CANARY))
    world.turn()
    assert world.heart.failures == 1
    assert CANARY not in told.getvalue()
    assert json.loads(told.getvalue().splitlines()[-1])["error"]


def test_a_new_address_is_taken_without_a_restart(world: World) -> None:
    world.turn()
    world.file.write_text(f"{world.outside.url}/other\n")
    world.turn()
    assert [one.path for one in world.outside.asked] == [f"/{CANARY}", "/other"]
