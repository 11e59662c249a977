"""What may not be sent now, and when the worker looks again."""

import pytest

from exporter.relay.hold import LONGEST, Hold, backoff
from exporter.relay.pace import POST
from exporter.relay.settings import SlackSettings
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hold(clock: Clock) -> Hold:
    return Hold(SlackSettings(senders=4), clock)


def test_nothing_is_held_at_first(hold: Hold) -> None:
    closed = hold.closed([])
    assert closed is not None
    assert (closed.posts, closed.updates, list(closed.episodes), list(closed.channels)) == (False, False, [], [])
    assert hold.next_in() is None


def test_a_failure_quiets_all_and_then_lets_one_call_at_a_time_go(hold: Hold, clock: Clock) -> None:
    hold.fail(7)
    assert hold.closed([]) is None
    wait = hold.next_in()
    assert wait is not None
    assert 0.75 <= wait <= 1
    clock.now += 1.01
    assert hold.closed([]) is not None
    assert hold.closed([1]) is None, "one at a time until one succeeds"
    hold.succeed(8)
    assert hold.closed([1, 2, 3]) is not None
    assert hold.closed([1, 2, 3, 4]) is None


def test_what_was_held_at_the_last_look_is_looked_at_again_even_if_its_time_has_come_meanwhile(
    hold: Hold, clock: Clock
) -> None:
    hold.fail(7)
    assert hold.closed([]) is None
    clock.now += 5
    assert hold.next_in() == 0, "else the worker would sleep for ever with something to do"


def test_a_wait_too_short_for_the_clock_to_tell_is_a_wait(hold: Hold, clock: Clock) -> None:
    for _ in range(3):
        hold.pace.take_post("#a")
    while (wait := hold.pace.closed_channels().get("#a", 0.0)) and clock.now + wait > clock.now:
        clock.now += wait
    closed = hold.closed([])
    assert closed is not None
    assert list(closed.channels) == ["#a"]
    assert hold.next_in() == 0, "else the worker would sleep for ever with something to do"


def test_an_episode_that_failed_waits_while_others_go(hold: Hold, clock: Clock) -> None:
    hold.fail(7)
    hold.succeed(8)
    closed = hold.closed([])
    assert closed is not None
    assert list(closed.episodes) == [7]
    clock.now += 2
    closed = hold.closed([])
    assert closed is not None
    assert list(closed.episodes) == []


def test_a_refused_token_is_left_alone_for_a_while_and_another_one_is_not(hold: Hold, clock: Clock) -> None:
    hold.refuse("1")
    assert not hold.allows("1")
    assert hold.next_in() == LONGEST
    assert hold.allows("2")
    clock.now += LONGEST
    assert hold.allows("1")


def test_a_paused_method_and_a_channel_that_is_asked_too_fast_are_closed(hold: Hold, clock: Clock) -> None:
    for _ in range(4):
        hold.pace.take_post("#a")
    closed = hold.closed([])
    assert closed is not None
    assert list(closed.channels) == ["#a"]
    hold.pace.pause(POST, 30)
    closed = hold.closed([])
    assert closed is not None
    assert closed.posts
    assert not closed.updates
    clock.now += 31
    closed = hold.closed([])
    assert closed is not None
    assert (closed.posts, list(closed.channels)) == (False, [])


def test_a_method_that_is_called_too_fast_is_closed_and_the_other_is_not(clock: Clock) -> None:
    hold = Hold(SlackSettings(posts_per_minute=60, updates_per_minute=30), clock)
    for number in range(6):
        hold.pace.take_post(f"#c{number}")
    closed = hold.closed([])
    assert closed is not None
    assert (closed.posts, closed.updates, list(closed.channels)) == (True, False, [])
    assert hold.next_in() == 1
    for _ in range(3):
        hold.pace.take_update()
    clock.now += 1
    closed = hold.closed([])
    assert closed is not None
    assert (closed.posts, closed.updates) == (False, True)
    assert hold.next_in() == 1


@pytest.mark.parametrize(("tries", "longest"), [(1, 1), (2, 2), (5, 16), (7, 60), (1000, 60)])
def test_the_wait_doubles_up_to_a_bound(tries: int, longest: float) -> None:
    assert 0.75 * longest <= backoff(tries) <= longest
