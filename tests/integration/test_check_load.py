"""A thousand checks in one process: all of them tried, in time, whatever some of them do."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest

from exporter.probes.attempt import Attempt, Reason
from exporter.probes.check import Schedule
from exporter.probes.engine import Engine
from exporter.probes.http import HttpCheck
from exporter.probes.tcp import TcpCheck
from exporter.settings.checks import Expected, HttpSettings, TcpSettings
from exporter.settings.values import Duration

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


# answers every request with a page, and takes connections on which nothing is said
SERVER = """
import asyncio

async def serve(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nfine")
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextlib.contextmanager
def served() -> Iterator[int]:
    """Run a server in a process of its own, so that its time and its descriptors are not ours; yield its port."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


ONE = Duration(1)


class Noted:
    """A check that keeps when it was tried."""

    kind: ClassVar[str] = "tcp or http"

    def __init__(self, check: HttpCheck | TcpCheck) -> None:
        self.name, self.target, self.schedule = check.name, check.target, check.schedule
        self.begun: list[float] = []
        self._check = check

    async def attempt(self, deadline: float) -> Attempt:
        self.begun.append(asyncio.get_running_loop().time())
        return await self._check.attempt(deadline)


def real_checks(number: int, port: int, interval: Duration) -> list[Noted]:
    """Return as many checks by HTTP as by TCP."""
    fine, url, address = Expected(body_contains=("fine",)), f"http://127.0.0.1:{port}/", f"127.0.0.1:{port}"
    checks = list[Noted]()
    for name in map(str, range(number // 2)):
        checks.append(Noted(HttpCheck(HttpSettings(name=name, url=url, expect=fine, interval=interval, timeout=ONE))))
        checks.append(Noted(TcpCheck(TcpSettings(name=name, address=address, interval=interval, timeout=ONE))))
    return checks


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names only


@contextlib.contextmanager
def most_open_files() -> Iterator[list[int]]:
    """Yield a list whose only item is the most descriptors that were seen open."""
    most, ended = [open_files()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            most[0] = max(most[0], open_files())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


@pytest.mark.measured
@pytest.mark.soak(60, 4)
def test_real_checks_keep_their_interval_with_few_descriptors(count: int) -> None:
    """A thousand at 15 s under `make soak`, 200 at 1 s under `make test`, half HTTP and half TCP."""
    number, interval = (CHECKS, 15.0) if count == 60 else (200, 1.0)

    async def main(port: int) -> tuple[list[Noted], Engine, float]:
        checks = real_checks(number, port, Duration(interval))
        engine = Engine(checks)
        cpu = time.thread_time()
        engine.start()
        await asyncio.sleep(count)
        engine.stop()
        cpu = time.thread_time() - cpu
        await asyncio.sleep(0.1)
        return checks, engine, cpu

    before = open_files()
    with served() as port, most_open_files() as most:
        checks, engine, cpu = asyncio.run(main(port))
    tries = sum(len(check.begun) for check in checks)
    gaps = sorted(b - a for check in checks for a, b in zip(check.begun, check.begun[1:], strict=False))
    print(f"{tries} attempts in {count} s, {1e6 * cpu / tries:.0f} us each, {1e3 * cpu / count:.1f} ms/s")
    print(f"at most {gaps[-1]:.2f} s from one to the next, and {most[0] - before} descriptors")
    assert {state.up for state in engine.states} == {True}, "each found what it asked for"
    assert not any(state.failures for state in engine.states)
    assert most[0] - before <= 50, "whatever the number of checks"
    assert open_files() == before, "nothing is left open"
    assert min(len(check.begun) for check in checks) >= count / interval - 1
    assert gaps[-1] < 1.5 * interval, "none left out"
    assert gaps[len(gaps) * 99 // 100] < interval + 0.25
