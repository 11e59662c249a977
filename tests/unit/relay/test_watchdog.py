"""The Watchdog: its silence is told once and resolved once, whatever clocks and restarts do."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.relay.delivery import Delivery
from exporter.relay.intake import parse_snapshot
from exporter.relay.queue import DurableQueue
from exporter.relay.settings import Limits, SlackSettings, WatchdogSettings
from exporter.relay.storage import Shown
from exporter.relay.watchdog import ALERT, Watchdog, split
from exporter.settings import Duration
from tests.support.relay import alert, payload, resolved

SILENT = 300.0


class World:
    """A Watchdog with clocks of the test's own; `restart` makes another one on the same database."""

    def __init__(self, folder: Path) -> None:
        self.queue = DurableQueue(folder / "relay.db", Limits())
        self.wall, self.steady = 1_800_000_000.0, 5000.0
        self.woken = 0
        self.restart()

    def restart(self, **settings: Any) -> None:
        def wake() -> None:
            self.woken += 1

        known = WatchdogSettings(**{"silent_after": Duration(SILENT), **settings})
        self.dog = Watchdog(known, self.queue, wake, clock=lambda: self.wall, monotonic=lambda: self.steady)
        self.do(self.dog.begin)

    def do(self, what: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await what()

        asyncio.run(run())

    def after(self, seconds: float) -> None:
        """Let time pass, and look."""
        self.wall += seconds
        self.steady += seconds
        self.do(self.dog.look)

    def beat(self) -> None:
        self.do(self.dog.beat)

    def told(self) -> list[Shown]:
        """Return what Slack would show of it, oldest first."""

        async def fold() -> None:
            delivery = Delivery(self.queue, SlackSettings(), lambda *_: None, clock=lambda: self.wall)
            while await delivery.step():
                pass

        asyncio.run(fold())
        return self.queue.recent(50).result(10)[::-1]

    def states(self) -> list[str]:
        return [one.episode.status for one in self.told()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    yield one
    assert one.queue.close()


def test_silence_is_told_and_its_end(world: World) -> None:
    world.beat()
    seen = world.wall
    world.after(SILENT - 1)
    assert (world.states(), world.dog.is_fresh) == ([], True)
    world.after(2)
    (one,) = world.told()
    assert [a.name for a in one.episode.alerts] == [ALERT]
    assert (one.episode.status, one.episode.receiver) == ("firing", "hostwatch")
    assert (world.dog.silent_since, world.dog.is_fresh, world.woken) == (seen, False, 1)
    world.after(60)
    world.beat()
    (one,) = world.told()
    assert one.episode.status == "resolved"
    assert one.episode.ended == round(world.wall * 1000) * 1_000_000
    assert (world.dog.silent_since, world.dog.is_fresh, world.woken) == (None, True, 2)


def test_each_silence_is_an_episode_of_its_own(world: World) -> None:
    for _ in range(3):
        world.beat()
        world.after(SILENT + 1)
    world.beat()
    assert world.states() == ["resolved"] * 3


def test_a_clock_set_back_hides_no_silence(world: World) -> None:
    world.beat()
    world.after(SILENT + 1)
    world.beat()
    world.wall -= 86400
    world.beat()
    world.after(SILENT + 1)
    assert world.states() == ["resolved", "firing"]
    world.beat()
    assert world.states() == ["resolved", "resolved"]


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
def test_a_clock_that_jumps_is_no_silence(world: World, jump: float) -> None:
    world.beat()
    world.wall += jump
    world.after(1)
    assert (world.states(), world.dog.age) == ([], 1.0)


def test_what_never_came_is_not_missed(world: World) -> None:
    world.after(100 * SILENT)
    assert (world.states(), world.dog.is_expected, world.dog.age) == ([], False, None)


def test_what_is_expected_is_missed_though_it_never_came(world: World) -> None:
    world.restart(expected=True)
    started = world.wall
    world.after(SILENT + 1)
    assert world.states() == ["firing"]
    assert world.dog.silent_since == started


def test_what_is_not_expected_is_never_missed(world: World) -> None:
    world.restart(expected=False)
    world.beat()
    world.after(SILENT + 1)
    assert world.states() == []


def test_a_restart_remembers_that_it_came_and_gives_it_time(world: World) -> None:
    world.beat()
    seen = world.wall
    world.wall += 7 * 86400
    world.restart()
    assert (world.dog.last_seen, world.dog.is_fresh) == (seen, False)
    world.after(SILENT - 1)
    assert world.states() == []
    world.after(2)
    assert world.states() == ["firing"]


def test_a_restart_during_a_silence_tells_it_once_and_its_end(world: World) -> None:
    world.beat()
    world.after(SILENT + 1)
    world.told()
    world.restart()
    world.after(SILENT + 1)
    assert world.states() == ["firing"]
    world.restart()
    world.beat()
    assert world.states() == ["resolved"]


def test_a_silence_ends_when_the_settings_do_not_expect_it_any_more(world: World) -> None:
    world.beat()
    world.after(SILENT + 1)
    world.restart(expected=False)
    assert world.states() == ["resolved"]


def test_a_long_silence_is_told_again(world: World) -> None:
    world.restart(repeat_after=Duration(3600))
    world.beat()
    world.after(SILENT + 1)
    world.told()
    for _ in range(3):
        world.after(1300)
    (one,) = world.told()
    assert [line.kind for line in one.lines] == ["opened", "repeated"]


def test_the_time_in_which_the_relay_stood_still_does_not_count(world: World) -> None:
    world.beat()
    world.steady += 3600
    world.dog.forgive(3600)
    world.after(1)
    assert world.states() == []
    world.dog.forgive(0.5)  # a busy machine, not a stop
    world.after(SILENT)
    assert world.states() == ["firing"]


def test_looking_and_coming_at_one_time_end_well(world: World) -> None:
    world.beat()
    world.steady += SILENT + 1

    async def both() -> None:
        await asyncio.gather(world.dog.look(), world.dog.beat(), world.dog.look())

    world.do(both)
    assert world.states() == ["resolved"]
    assert world.dog.silent_since is None


def test_it_runs_by_itself(tmp_path: Path) -> None:
    queue = DurableQueue(tmp_path / "relay.db", Limits())
    dog = Watchdog(WatchdogSettings(silent_after=Duration(0.05), expected=True), queue, lambda: None)

    async def run() -> None:
        task = asyncio.create_task(dog.run())
        async with asyncio.timeout(10):
            while dog.silent_since is None:  # noqa: ASYNC110 -- its own timer
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert queue.stats.depth == 1
    assert queue.close()


DOG, OTHER = alert("Watchdog", labels={"severity": "none"}), alert()
SPLIT: dict[str, tuple[list[Any], bool, list[str]]] = {
    "alone": ([DOG], True, []),
    "ended": ([resolved(DOG)], False, []),
    "none": ([OTHER], False, ["HostCpuHigh"]),
    "among others": ([OTHER, DOG], True, ["HostCpuHigh"]),
}


@pytest.mark.parametrize(("alerts", "came", "left"), SPLIT.values(), ids=SPLIT)
def test_it_is_taken_out_of_what_comes(alerts: list[Any], came: bool, left: list[str]) -> None:
    beat, rest = split(parse_snapshot(json.dumps(payload(*alerts)).encode()), "Watchdog")
    assert (beat, [a.name for a in rest.alerts] if rest else []) == (came, left)


def test_what_is_left_beside_it_has_the_state_of_the_rest() -> None:
    _, rest = split(parse_snapshot(json.dumps(payload(resolved(OTHER), DOG)).encode()), "Watchdog")
    assert rest is not None
    assert rest.status == "resolved"
