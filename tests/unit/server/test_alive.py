"""The proof of life: when systemd is told that all is well, and what keeps it from being told."""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.server import alive
from exporter.server.listener import Server
from exporter.server.notify import Notifier
from exporter.settings.exporter import Http
from tests.support import virtual_time
from tests.support.exporter import echo
from tests.support.network import network
from tests.support.notify_socket import Message, NotifySocket

PATIENCE = 30.0


async def well() -> None:
    """Find nothing wrong."""


async def ill() -> None:
    raise alive.NotWellError("the page is empty")


async def refused() -> None:
    raise ConnectionRefusedError(111, "Connection refused")


async def hanging() -> None:
    await asyncio.Event().wait()


def told_within(folder: Path, seconds: float, *checks: Callable[[], Awaitable[None]]) -> list[tuple[float, Message]]:
    """Return what systemd is told in so many seconds of virtual time, and when."""
    found: list[tuple[float, Message]] = []

    async def main() -> None:
        with NotifySocket(folder) as listener:
            notifier = Notifier({"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": f"{PATIENCE * 1e6:.0f}"})
            loop = virtual_time.loop()
            began = loop.time()
            task = asyncio.create_task(alive.prove(notifier, checks, lambda: "Serves"))
            while loop.time() < began + seconds:
                await asyncio.sleep(0.25)
                found.extend((loop.time() - began, message) for message in listener.waiting())
            task.cancel()

    virtual_time.run(main())
    return found


def test_systemd_hears_twice_within_its_patience_while_all_is_well(tmp_path: Path) -> None:
    told = told_within(tmp_path, 10 * PATIENCE, well, well)
    assert [message for _, message in told] == [{"WATCHDOG": "1"}] * len(told)
    moments = [moment for moment, _ in told]
    assert len(told) in range(20, 22)
    assert all(later - sooner <= PATIENCE / 2 + 0.5 for sooner, later in pairwise(moments))


@pytest.mark.parametrize(
    ("check", "reason"),
    [(ill, "the page is empty"), (refused, "Connection refused"), (hanging, "no answer within 10.0 s")],
    ids=["ill", "no connection", "hanging"],
)
def test_one_check_that_fails_keeps_it_from_being_told(
    tmp_path: Path, check: Callable[[], Awaitable[None]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = told_within(tmp_path, 3 * PATIENCE, well, check)
    assert [message for _, message in told] == [{"STATUS": f"Not well: {reason}"}]
    assert {(record.message, record.__dict__["fields"]["problem"]) for record in caplog.records} == {
        ("not well", reason)
    }


def test_it_is_tried_again_soon_and_systemd_hears_of_a_recovery(tmp_path: Path) -> None:
    outcomes = [well, ill, ill, well, well]

    async def next_one() -> None:
        await (outcomes.pop(0) if len(outcomes) > 1 else well)()

    told = told_within(tmp_path, 2 * PATIENCE, next_one)
    assert [message for _, message in told] == [
        {"WATCHDOG": "1"},
        {"STATUS": "Not well: the page is empty"},
        {"WATCHDOG": "1"},
        {"STATUS": "Serves"},
        {"WATCHDOG": "1"},
        {"WATCHDOG": "1"},
    ]
    (first, _), _, (back, _), *_ = told
    assert back - first < PATIENCE, "before systemd lost its patience"


def test_slow_checks_are_still_in_time(tmp_path: Path) -> None:
    async def slow() -> None:
        await asyncio.sleep(PATIENCE * alive.WITHIN * 0.45)

    moments = [moment for moment, _ in told_within(tmp_path, 10 * PATIENCE, slow, slow)]
    assert all(later - sooner < PATIENCE for sooner, later in pairwise(moments))


def test_nothing_is_checked_where_systemd_does_not_wait() -> None:
    virtual_time.run(alive.prove(Notifier({}), (ill,), lambda: "Serves"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::", ""], ids=lambda host: host or "all")
def test_a_server_that_accepts_is_seen_to(host: str) -> None:
    async def main() -> None:
        server = Server(echo, Http())
        await server.listen(host, 0)
        assert server.listening_sockets
        for _ in range(3):
            await asyncio.wait_for(alive.connect(server.listening_sockets, server.accepted), 30)
        await server.stop(1)

    asyncio.run(main())


def test_one_that_listens_and_does_not_accept_is_not_taken_for_alive() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TimeoutError):
            await asyncio.wait_for(alive.connect([listener], asyncio.Event()), 0.05)

    asyncio.run(main())


def test_one_that_is_closed_is_not_either() -> None:
    async def main() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.wait_for(alive.connect([listener], asyncio.Event()), 30)

    asyncio.run(main())


# a machine whose loopback device has no IPv6 (net.ipv6.conf.lo.disable_ipv6): it can listen on `::` and not reach `::1`
WITHOUT_IPV6 = """
import asyncio, sys
from exporter.relay import proof, server as relay
from exporter.server import alive
from exporter.server.listener import Server
from exporter.settings.exporter import Http
from tests.support.exporter import echo

async def main():
    server = Server(echo, Http())
    await server.listen(sys.argv[1], 0)
    await asyncio.wait_for(alive.connect(server.listening_sockets, server.accepted), 10)
    await server.stop(1)
    silent = relay.listen(f"{sys.argv[1]}:0" if sys.argv[1] != "::" else "[::]:0")
    try:
        await asyncio.wait_for(proof.ask(silent), 0.2)
    except TimeoutError:
        print("asked")

asyncio.run(main())
"""


@pytest.mark.needs("root", "ip")
@pytest.mark.parametrize(("host", "said"), [("", "asked\n"), ("0.0.0.0", "asked\n"), ("::", "")], ids=["all", "4", "6"])
def test_a_machine_without_ipv6_on_its_loopback_is_no_reason_to_begin_anew(host: str, said: str) -> None:
    """Found on a real machine: whichever of two sockets came first decided whether it was killed every half minute."""
    with network() as inside:
        inside.set("ipv6/conf/all/disable_ipv6", "1")
        assert inside.run(sys.executable, "-c", WITHOUT_IPV6, host) == said
