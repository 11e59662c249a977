"""Errands: what blocks, on one daemon thread that goes when nobody wants it."""

import asyncio
import threading

import pytest

from exporter.probes.errands import Errands


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_errands_run_in_turn_on_one_daemon_thread() -> None:
    errands = Errands("in-turn", idle_seconds=0.01)
    seen: list[str] = []

    def errand() -> int:
        seen.append(threading.current_thread().name)
        return len(seen)

    async def run() -> list[int]:
        deadline = asyncio.get_running_loop().time() + 5
        out = await asyncio.gather(*(errands.run(errand, deadline) for _ in range(5)))
        assert all(thread.daemon for thread in threads("in-turn"))
        return list(out)

    assert asyncio.run(run()) == [1, 2, 3, 4, 5]
    assert set(seen) == {"in-turn"}
    for thread in threads("in-turn"):
        thread.join(5)
    assert not threads("in-turn")
    assert asyncio.run(run()) == [6, 7, 8, 9, 10], "a new one comes when it is wanted again"


def test_what_an_errand_raises_is_raised() -> None:
    def errand() -> None:
        raise KeyError("x")

    async def run() -> None:
        await Errands("raises", 0.01).run(errand, asyncio.get_running_loop().time() + 5)

    with pytest.raises(KeyError):
        asyncio.run(run())


def test_an_errand_that_nobody_waits_for_any_more_is_left_undone() -> None:
    errands, hung, done = Errands("hung", 0.01), threading.Event(), []

    async def run() -> None:
        now = asyncio.get_running_loop().time()
        for errand in (hung.wait, lambda: done.append(1)):
            with pytest.raises(TimeoutError):
                await errands.run(errand, now + 0.03)
        hung.set()
        await errands.run(lambda: done.append(2), now + 5)

    asyncio.run(run())
    assert done == [2]


def test_an_errand_outlives_its_loop() -> None:
    errands, hung = Errands("outlives", 0.01), threading.Event()

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await errands.run(hung.wait, asyncio.get_running_loop().time() + 0.02)

    asyncio.run(run())
    hung.set()
    for thread in threads("outlives"):
        thread.join(5)
    assert not threads("outlives")
