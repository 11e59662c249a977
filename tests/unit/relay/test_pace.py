"""How fast Slack is asked: one bucket for each channel, one for each method, and pauses over them."""

import pytest

from exporter.relay.pace import MAX_BUCKETS, POST, UPDATE, Bucket, Pace
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    """Half a message a second and channel, two at once; one a second in all, six at once; updates the same."""
    return Pace(0.5, 2, 60, 60, clock)


def may_post(pace: Pace, channel: str) -> bool:
    return pace.posts_in() == 0 and channel not in pace.closed_channels()


def posts_at_once(pace: Pace, channels: list[str]) -> int:
    """Post to the channels in turn for as long as one of them may be posted to."""
    count = 0
    while channel := next((one for one in channels if may_post(pace, one)), ""):
        pace.take_post(channel)
        count += 1
    return count


# -- one bucket -----------------------------------------------------------------------------------------------------


def test_a_bucket_lets_its_burst_go_at_once_and_then_its_rate(clock: Clock) -> None:
    bucket = Bucket(0.5, 3, clock())
    for _ in range(3):
        assert bucket.ready_in(clock()) == 0
        bucket.take(clock())
    assert bucket.ready_in(clock()) == 2
    clock.now += 1.5
    assert bucket.ready_in(clock()) == 0.5
    clock.now += 0.5
    assert bucket.ready_in(clock()) == 0
    bucket.take(clock())
    assert bucket.ready_in(clock()) == 2


def test_a_bucket_holds_no_more_than_its_burst_however_long_it_is_left_alone(clock: Clock) -> None:
    bucket = Bucket(0.5, 3, clock())
    bucket.take(clock())
    assert not bucket.is_full(clock())
    clock.now += 86_400
    assert bucket.is_full(clock())
    for _ in range(3):
        bucket.take(clock())
    assert bucket.ready_in(clock()) == 2


# -- channels and methods -------------------------------------------------------------------------------------------


def test_nothing_waits_at_first(pace: Pace) -> None:
    assert (pace.posts_in(), pace.update_in(), pace.closed_channels(), pace.pauses()) == (0, 0, {}, {})


def test_a_channel_that_is_asked_too_fast_waits_and_the_others_do_not(pace: Pace, clock: Clock) -> None:
    assert posts_at_once(pace, ["#a"]) == 2
    assert pace.closed_channels() == {"#a": 2}
    assert pace.posts_in() == 0
    assert may_post(pace, "#b")
    clock.now += 2
    assert may_post(pace, "#a")


def test_messages_to_all_channels_together_have_a_pace_of_their_own(pace: Pace, clock: Clock) -> None:
    channels = [f"#c{number}" for number in range(50)]
    assert posts_at_once(pace, channels) == 6
    assert pace.posts_in() == 1
    assert not may_post(pace, "#never asked")
    clock.now += 0.25
    assert pace.posts_in() == 0.75
    clock.now += 0.75
    assert posts_at_once(pace, channels) == 1


def test_in_no_minute_there_are_over_a_tenth_more_calls_than_the_setting_says(pace: Pace, clock: Clock) -> None:
    channels, posts, updates = [f"#c{number}" for number in range(50)], 0, 0
    for _ in range(4 * 60):
        posts += posts_at_once(pace, channels)
        while pace.update_in() == 0:
            pace.take_update()
            updates += 1
        clock.now += 0.25
    assert 60 < posts <= 66
    assert 60 < updates <= 66


def test_updates_have_a_pace_of_their_own(pace: Pace, clock: Clock) -> None:
    for _ in range(6):
        assert pace.update_in() == 0
        pace.take_update()
    assert pace.update_in() == 1
    assert may_post(pace, "#a"), "updates and messages are two methods"
    clock.now += 1
    assert pace.update_in() == 0


def test_messages_take_nothing_from_updates(pace: Pace) -> None:
    posts_at_once(pace, [f"#c{number}" for number in range(50)])
    assert pace.update_in() == 0


def test_a_slow_method_may_be_called_once_at_once(clock: Clock) -> None:
    pace = Pace(1, 3, 0.5, 0.5, clock)
    assert posts_at_once(pace, ["#a"]) == 1
    assert pace.posts_in() == 120
    pace.take_update()
    assert pace.update_in() == 120


# -- where one of the two is empty ----------------------------------------------------------------------------------


def test_while_the_method_waits_its_channel_loses_nothing(pace: Pace, clock: Clock) -> None:
    posts_at_once(pace, ["#b", "#c", "#d"])
    for _ in range(100):
        assert not may_post(pace, "#a")
        clock.now += 0.01
    assert pace.closed_channels().keys() == {"#b", "#c", "#d"}, "a channel that was not posted to is open"
    clock.now += 5
    assert posts_at_once(pace, ["#a"]) == 2, "both of its tokens are there"


def test_while_a_channel_waits_the_method_loses_nothing(pace: Pace, clock: Clock) -> None:
    posts_at_once(pace, ["#a"])
    for _ in range(100):
        assert not may_post(pace, "#a")
    clock.now += 1.5
    for _ in range(100):
        assert not may_post(pace, "#a")
    assert posts_at_once(pace, ["#b", "#c", "#d"]) == 5, "four were left, and one came back meanwhile"


def test_a_message_takes_of_both(pace: Pace) -> None:
    for number in range(6):
        assert pace.posts_in() == 0, number
        pace.take_post("#a" if number < 2 else f"#c{number}")
    assert pace.posts_in() == 1
    assert pace.closed_channels() == {"#a": 2}


# -- pauses ---------------------------------------------------------------------------------------------------------


def test_a_paused_method_waits_and_the_other_one_does_not(pace: Pace, clock: Clock) -> None:
    pace.pause(POST, 30)
    assert (pace.posts_in(), pace.update_in()) == (30, 0)
    assert pace.closed_channels() == {}, "it is the method that waits"
    pace.pause(UPDATE, 10)
    assert (pace.posts_in(), pace.update_in()) == (30, 10)
    assert pace.pauses() == {POST: 30, UPDATE: 10}
    clock.now += 10
    assert (pace.posts_in(), pace.update_in(), pace.pauses()) == (20, 0, {POST: 20})


def test_a_pause_and_a_bucket_are_waited_for_together(pace: Pace, clock: Clock) -> None:
    posts_at_once(pace, ["#a", "#b", "#c"])
    pace.pause(POST, 0.5)
    pace.pause("#a", 0.5)
    assert (pace.posts_in(), pace.closed_channels()["#a"]) == (1, 2)
    pace.pause(POST, 30)
    pace.pause("#a", 30)
    assert (pace.posts_in(), pace.closed_channels()["#a"]) == (30, 30)


def test_a_longer_pause_stays(pace: Pace) -> None:
    pace.pause("#a", 30)
    pace.pause("#a", 10)
    assert pace.closed_channels() == {"#a": 30}


# -- many channels --------------------------------------------------------------------------------------------------


def test_only_channels_whose_bucket_is_full_again_are_forgotten(clock: Clock) -> None:
    pace = Pace(1, 3, 100_000, 60, clock)
    for number in range(MAX_BUCKETS - 1):
        pace.take_post(f"#quiet{number}")
    clock.now += 2
    for _ in range(3):
        pace.take_post("#busy")
    clock.now += 1
    pace.take_post("#new")
    assert len(pace._channels) == 2
    assert posts_at_once(pace, ["#busy"]) == 1, "forgotten it would have its burst again"
