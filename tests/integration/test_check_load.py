"""A thousand checks in one process: all of them tried, in time, whatever some of them do."""

import asyncio
import time
from typing import ClassVar

import pytest

from exporter.probes.attempt import Attempt, Reason
from exporter.probes.check import Schedule
from exporter.probes.engine import Engine

pytestmark = pytest.mark.slow

CHECKS = 1000
# every fiftieth hangs, every fiftieth ignores that it is cancelled
HANGING, STUBBORN = 7, 8


class LoadCheck:
    kind: ClassVar[str] = "tcp"
    target = "nobody"

    def __init__(self, number: int, interval: float) -> None:
        self.name = str(number)
        self.schedule = Schedule(interval, interval / 2, 0, 0.1)
        self.manner = number % 50
        self.begun: list[float] = []
        self.ended = asyncio.Event()

    async def attempt(self, deadline: float) -> Attempt:
        loop = asyncio.get_running_loop()
        self.begun.append(loop.time())
        if self.manner == HANGING:
            await loop.create_future()
        while self.manner == STUBBORN and not self.ended.is_set():
            try:
                await self.ended.wait()
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(0.005)
        return Attempt.of(None)


@pytest.mark.measured
@pytest.mark.soak(60, 4)
def test_thousand_checks_are_punctual_beside_some_that_hang(count: int) -> None:
    """At fifteen times the usual rate under `make test`; how late is measured against the moments that were meant."""
    interval = 15.0 if count == 60 else 1.0

    async def main() -> tuple[list[LoadCheck], Engine]:
        checks = [LoadCheck(number, interval) for number in range(CHECKS)]
        engine = Engine(checks)
        engine.start()
        await asyncio.sleep(count)
        engine.stop()
        for check in checks:
            check.ended.set()
        await asyncio.sleep(0.1)
        return checks, engine

    cpu = time.process_time()
    checks, engine = asyncio.run(main())
    cpu = time.process_time() - cpu
    good = [check for check in checks if check.manner not in (HANGING, STUBBORN)]
    assert min(len(check.begun) for check in good) >= count / interval - 1
    late = sorted(
        abs(after - before - interval)
        for check in good
        for before, after in zip(check.begun, check.begun[1:], strict=False)
    )
    tries = sum(len(check.begun) for check in checks)
    print(f"{tries} attempts in {count} s, {1e6 * cpu / tries:.0f} us each, {1e3 * cpu / count:.1f} ms/s")
    print(f"late: median {late[len(late) // 2] * 1e3:.1f} ms, 99 % {late[len(late) * 99 // 100] * 1e3:.1f} ms")
    assert late[len(late) * 99 // 100] < 0.25
    for state, check in zip(engine.states, checks, strict=True):
        if check.manner == STUBBORN:
            assert state.last is not None
            assert state.last.reason in (Reason.STILL_RUNNING, Reason.TIMEOUT)
            assert len(check.begun) == 1
        elif check.manner == HANGING:
            assert state.up is False
        else:
            assert state.up is True
