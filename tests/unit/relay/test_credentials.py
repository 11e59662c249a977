"""A bot token in a file: taken when Slack takes it, kept when what follows is no good, told when it changes hands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.logs import Secret
from exporter.relay.credentials import Credentials, FileSource, InUse
from tests.support.client import until
from tests.support.vault_world import Clock, SlackAnswers, write_secret

FIRST, SECOND = "xoxb-111-first", "xoxb-222-second"


class World:
    def __init__(self, folder: Path) -> None:
        self.file = write_secret(folder / "slack-token", FIRST)
        self.clock, self.slack = Clock(), SlackAnswers()
        self.changes: list[str] = []
        self.source = FileSource(self.file, self.slack, self.clock, monotonic=self.clock)
        self.source.on_change = lambda: self.changes.append(self.token or "")
        self._number = 0

    def write(self, text: str) -> None:
        """Put another file in place, as a careful writer does."""
        self._number += 1
        write_secret(self.file.with_name(f"new{self._number}"), text).replace(self.file)

    def look(self, after: float = 0.0) -> float:
        self.clock.now += after
        return self.source.look()

    @property
    def token(self) -> str | None:
        current = self.source.current()
        return current.token.reveal() if current else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_token_is_there_after_one_look_and_asked_about_once(world: World) -> None:
    assert world.source.current() is None
    for _ in range(5):
        assert world.look(2) == 2
    assert (world.token, world.slack.asked, world.changes) == (FIRST, [FIRST], [FIRST])
    assert world.source.state.ok
    assert world.source.state.text == f"token from {world.file}"


def test_another_token_is_in_force_at_the_next_look(world: World) -> None:
    world.look()
    world.write(SECOND)
    world.look(2)
    assert (world.token, world.changes) == (SECOND, [FIRST, SECOND])


def test_each_token_has_a_version_of_its_own_that_does_not_tell_it(world: World) -> None:
    versions = []
    for token in (FIRST, SECOND, FIRST):
        world.write(token)
        world.look(2)
        current = world.source.current()
        assert current is not None
        versions.append(current.version)
    assert len(set(versions)) == 3
    assert "xoxb" not in repr(versions)


def test_a_file_written_anew_with_the_same_token_asks_nobody(world: World) -> None:
    world.look()
    world.write(FIRST)
    world.look(2)
    assert world.slack.asked == [FIRST]
    assert world.source.state.ok


SPOILT: dict[str, tuple[Callable[[World], Any], str]] = {
    "gone": (lambda world: world.file.unlink(), "cannot be read: No such file"),
    "empty": (lambda world: world.write(""), "empty"),
    "two words": (lambda world: world.write("a b"), "expected one token"),
    "open to all": (lambda world: world.file.chmod(0o644), "chmod o-rwx"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_file_keeps_the_last_good_token_until_it_is_repaired(
    world: World, spoil: Callable[[World], Any], words: str
) -> None:
    world.look()
    spoil(world)
    world.look(2)
    assert world.token == FIRST
    assert not world.source.state.ok
    assert f"slack.token_file {world.file}: " in world.source.state.text
    assert words in world.source.state.text
    world.write(FIRST)
    world.look(2)
    assert world.source.state.ok
    world.write(SECOND)
    world.look(2)
    assert world.token == SECOND


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_a_file_spoilt_at_the_start_is_no_token_until_it_is_repaired(
    world: World, spoil: Callable[[World], Any], words: str
) -> None:
    spoil(world)
    world.look()
    assert world.token is None
    assert words in world.source.state.text
    world.write(SECOND)
    world.look(2)
    assert world.token == SECOND


def test_a_new_token_that_slack_refuses_keeps_the_old_and_is_asked_about_less_and_less_often(world: World) -> None:
    world.look()
    world.slack.refuses(SECOND, "account_inactive")
    world.write(SECOND)
    for _ in range(300):
        world.look(2)
    assert world.token == FIRST
    assert world.source.state.text == f"Slack refuses the token in {world.file}: account_inactive"
    assert 10 <= world.slack.asked.count(SECOND) <= 20
    world.slack.errors.clear()
    world.look(60)
    assert world.token == SECOND
    assert world.source.state.ok


def test_a_first_token_that_slack_refuses_is_not_used(world: World) -> None:
    world.slack.refuses(FIRST)
    world.look()
    assert world.token is None
    assert not world.source.state.ok


def test_going_back_to_the_old_token_is_good_at_once(world: World) -> None:
    world.look()
    world.slack.refuses(SECOND)
    world.write(SECOND)
    world.look(2)
    world.write(FIRST)
    world.look(2)
    assert world.source.state.ok
    assert world.changes[0] == FIRST
    assert world.token == FIRST


def test_a_new_token_waits_while_slack_cannot_be_asked(world: World) -> None:
    world.look()
    world.slack.is_away(SECOND, retry_after=20)
    world.write(SECOND)
    world.look(2)
    assert world.token == FIRST
    assert "could not be asked about" in world.source.state.text
    world.slack.errors.clear()
    world.look(10)
    assert world.token == FIRST
    world.look(10)
    assert world.token == SECOND


def test_the_first_token_is_used_while_slack_cannot_be_asked(world: World) -> None:
    world.slack.is_away(FIRST)
    world.look()
    assert world.token == FIRST
    assert not world.source.state.ok
    world.slack.errors.clear()
    world.look(2)
    assert world.source.state.ok
    asked = len(world.slack.asked)
    world.look(100)
    assert len(world.slack.asked) == asked


def test_a_token_that_slack_refuses_in_use_is_told_and_forgiven_after_a_while(world: World) -> None:
    world.look()
    current = world.source.current()
    assert current is not None
    world.source.refused(current.version)
    assert world.source.state.text == f"Slack refuses the token of {world.file}"
    for _ in range(70):
        world.look(2)
        assert not world.source.state.ok
    for _ in range(35):
        world.look(2)
    assert world.source.state.ok
    assert len(world.slack.asked) <= 6


def test_a_refused_token_is_replaced_by_the_next_that_is_written(world: World) -> None:
    world.look()
    current = world.source.current()
    assert current is not None
    world.source.refused(current.version)
    world.slack.refuses(FIRST)
    world.look(2)
    world.write(SECOND)
    world.look(2)
    assert (world.token, world.source.state.ok) == (SECOND, True)


def test_a_refusal_of_an_older_token_is_no_news(world: World) -> None:
    world.look()
    world.source.refused("file:older")
    assert world.source.state.ok


def test_the_thread_looks_at_once_when_it_is_told_and_ends(world: World) -> None:
    world.source.LOOK_SECONDS = 3600.0  # type: ignore[misc]
    world.source.start()
    until(lambda: world.token == FIRST, "the first token")
    world.write(SECOND)
    world.source.refused("whatever")
    until(lambda: world.token == SECOND, "the second token")
    world.source.stop()
    until(lambda: not world.source._thread.is_alive(), "the thread ended")


def test_a_fault_of_our_own_does_not_end_the_thread(world: World) -> None:
    world.source._first_wait = 0.0001
    faults = iter([RuntimeError("xoxb-canary")])
    world.source._check = lambda _token: [None for fault in faults if raise_it(fault)]
    world.source.start()
    until(lambda: world.token == FIRST, "it went on")
    world.source.stop()


def raise_it(err: Exception) -> bool:
    raise err


def test_the_token_is_in_no_text(world: World) -> None:
    world.look()
    assert FIRST not in repr((vars(world.source), world.source.current(), world.source.state))


# -- which tokens are in use -------------------------------------------------------------------------------------------


@pytest.fixture
def swaps(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level("INFO", "exporter.relay.credentials")
    return lambda: [vars(one)["fields"]["version"] for one in caplog.records if "swapped" in one.message]


def credentials(number: int, token: str | None = None) -> Credentials:
    return Credentials(token=Secret(token or f"xoxb-{number}"), version=str(number), origin="a test")


def test_a_swap_is_told_when_the_last_call_with_the_old_token_is_back(swaps: Callable[[], list[str]]) -> None:
    in_use = InUse()
    in_use.newest(credentials(1))
    in_use.begin("1")
    in_use.begin("1")
    in_use.newest(credentials(2))
    in_use.begin("2")
    assert swaps() == []
    in_use.end("1")
    assert swaps() == []
    in_use.end("1")
    assert swaps() == ["2"]
    in_use.end("2")
    in_use.newest(credentials(2))
    assert swaps() == ["2"]


def test_a_swap_while_nothing_is_sent_is_told_at_once(swaps: Callable[[], list[str]]) -> None:
    in_use = InUse()
    in_use.newest(credentials(1))
    in_use.newest(credentials(2))
    assert swaps() == ["2"]


def test_the_first_token_and_a_new_channel_are_no_swaps(swaps: Callable[[], list[str]]) -> None:
    in_use = InUse()
    in_use.newest(credentials(1))
    in_use.newest(credentials(2, "xoxb-1"))
    assert swaps() == []


def test_two_swaps_in_a_row_are_told_once_all_old_tokens_are_out_of_use(swaps: Callable[[], list[str]]) -> None:
    in_use = InUse()
    in_use.newest(credentials(1))
    in_use.begin("1")
    in_use.newest(credentials(2))
    in_use.begin("2")
    in_use.newest(credentials(3))
    in_use.end("2")
    assert swaps() == []
    in_use.end("1")
    assert swaps() == ["3"]
