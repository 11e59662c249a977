"""The delivery keeps Slack's limits: by channel, by method, and over all channels, whatever waits."""

import asyncio
from collections.abc import Callable
from typing import Any

from exporter.relay.channels import ChannelRoute
from exporter.relay.delivery import Delivery
from exporter.relay.settings import SlackSettings
from exporter.settings.values import Regex
from tests.support.clock import Clock
from tests.support.delivery_bench import Bench
from tests.support.relay import alert, resolved

GROUPS = 60
CHANNELS = 8


def steps_of(bench: Bench, clock: Clock, **settings: Any) -> float:
    """Deliver all that waits; the clock moves whenever nothing else may go. Returns the seconds that took."""
    begun = clock()

    async def run() -> None:
        delivery = bench.make(monotonic=clock, **settings)
        await all_that_may_go(delivery)
        while bench.queue.stats.depth and (wait := delivery._hold.next_in()) is not None:
            clock.now += max(wait, 0.001)
            await all_that_may_go(delivery)
        delivery.stop()

    asyncio.run(asyncio.wait_for(run(), 60))
    return clock() - begun


async def all_that_may_go(delivery: Delivery) -> None:
    while await delivery.step() or delivery._busy or delivery._ended:  # noqa: ASYNC110 -- the calls are on threads
        await asyncio.sleep(0.001)


def by_default(**changed: float) -> dict[str, Any]:
    """Return the paces that a relay has without settings, in place of the bench's quick ones."""
    known, names = SlackSettings(), ("posts_per_second", "burst", "posts_per_minute", "updates_per_minute")
    return {name: getattr(known, name) for name in names} | changed


def storm(bench: Bench, what: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    for number in range(GROUPS):
        one = alert(instance=f"h{number:02d}", labels={"shard": str(number % CHANNELS)})
        bench.store(what(one), group=f"{number:02d}")


def test_a_storm_in_many_channels_provokes_no_429(bench: Bench) -> None:
    """On clocks that stand still, with Slack's own limits; that of the workspace is scaled, to keep the storm short."""
    clock, slack = Clock(), bench.slack
    slack.clock, slack.posts_per_second = clock, 1.0
    slack.limits = {"chat.postMessage": (45, 60), "chat.update": (50, 60)}
    for number in range(CHANNELS):
        slack.add_channel(f"#c{number}")
    routes = tuple(ChannelRoute(f"#c{number}", match={"shard": Regex(str(number))}) for number in range(CHANNELS))
    settings = by_default(posts_per_minute=40) | {"channels": routes}

    storm(bench, lambda one: one)
    seconds = steps_of(bench, clock, **settings)
    assert [call.answer for call in slack.calls] == ["ok"] * GROUPS
    assert (GROUPS - 4 - 1) / 40 * 60 <= seconds <= (GROUPS - 4 + 1) / 40 * 60, "no slower than it may be either"
    for number in range(CHANNELS):
        told = [one.text for one in slack.roots(f"#c{number}")]
        assert [next(n for n in range(GROUPS) if f"h{n:02d}" in text) for text in told] == [
            *range(number, GROUPS, CHANNELS)
        ]

    clock.now += 60
    slack.calls.clear()
    storm(bench, resolved)
    steps_of(bench, clock, **settings)
    assert slack.count("chat.update") == slack.count("chat.postMessage") == GROUPS
    assert {call.answer for call in slack.calls} == {"ok"}
    assert all("RESOLVED" in one.text for number in range(CHANNELS) for one in slack.roots(f"#c{number}"))
    assert not slack.copies()


def test_updates_are_counted(bench: Bench) -> None:
    clock = Clock()
    for number in range(3):
        bench.store(alert(instance=f"h{number}"), group=str(number))
    steps_of(bench, clock)
    for number in range(3):
        bench.store(resolved(alert(instance=f"h{number}")), group=str(number))
    assert 100 <= steps_of(bench, clock, updates_per_minute=1.1) <= 120, "one at once, then two with a wait for each"


def test_a_channel_that_is_flooded_holds_up_no_other(bench: Bench) -> None:
    clock = Clock()
    for number in range(12):
        bench.store(alert(instance=f"h{number:02d}"), group=f"{number:02d}")
    bench.store(alert(instance="last", labels={"team": "other"}), group="other")
    routes = (ChannelRoute("#team", match={"team": Regex("other")}),)
    steps_of(bench, clock, channels=routes, **by_default(posts_per_minute=40))
    posted = [call.arguments["channel"] for call in bench.slack.calls]
    assert posted.count("#alerts") == 12
    assert "#team" in posted[:4], "three at once to the channel of the flood, and then the other's turn"
