"""Connections: which of a name's addresses is asked, for how long, and why none took one."""

import asyncio
import errno
import gc
import socket
import warnings
from collections.abc import Callable, Iterator

import pytest

from exporter.probes import streams
from exporter.probes.attempt import Attempt, AttemptError, Outcome, Reason
from exporter.probes.resolver import Address, ResolveError
from exporter.probes.stopwatch import Stopwatch, measure
from exporter.probes.streams import connect, first_of, look_up
from exporter.settings.targets import Family
from tests.support.web_servers import serving, silent

V4 = Address(socket.AF_INET, "192.0.2.1", ("192.0.2.1", 80))
V4_TOO = Address(socket.AF_INET, "192.0.2.2", ("192.0.2.2", 80))
V6 = Address(socket.AF_INET6, "2001:db8::1", ("2001:db8::1", 80, 0, 0))

Outcomes = dict[Address, OSError | AttemptError | str | None]


def choose(outcomes: Outcomes, seconds: float = 5.0) -> str:
    """Return which address took a connection; None for one that is silent."""

    async def attempt(address: Address) -> str:
        what = outcomes[address]
        if what is None:
            await asyncio.sleep(3600)
        if isinstance(what, Exception):
            raise what
        return str(what)

    async def run() -> str:
        deadline = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout_at(deadline):
            return await first_of(list(outcomes), attempt, deadline)

    return asyncio.run(run())


def failure(number: int) -> OSError:
    return OSError(number, errno.errorcode[number])


@pytest.mark.parametrize(
    "outcomes",
    [
        {V4: "yes"},
        {V6: failure(errno.ECONNREFUSED), V4: "yes"},
        {V6: failure(errno.ENETUNREACH), V4: failure(errno.ECONNREFUSED), V4_TOO: "yes"},
        {V6: AttemptError(Reason.TLS_FAILED), V4: "yes"},
    ],
)
def test_the_first_address_that_takes_it_is_taken(outcomes: Outcomes) -> None:
    assert choose(outcomes) == "yes"


@pytest.mark.parametrize(
    ("outcomes", "reason", "detail"),
    [
        ({V4: failure(errno.ECONNREFUSED)}, Reason.REFUSED, "192.0.2.1:80: ECONNREFUSED"),
        ({V6: failure(errno.EHOSTUNREACH)}, Reason.HOST_UNREACHABLE, "[2001:db8::1]:80: EHOSTUNREACH"),
        (
            {V6: failure(errno.ENETUNREACH), V4: failure(errno.ECONNREFUSED)},
            Reason.REFUSED,
            "192.0.2.1:80: ECONNREFUSED",
        ),
        (
            {V4: failure(errno.ECONNREFUSED), V6: failure(errno.ENETUNREACH)},
            Reason.REFUSED,
            "192.0.2.1:80: ECONNREFUSED",
        ),
        ({V6: failure(errno.ENETUNREACH)}, Reason.NO_ROUTE, "[2001:db8::1]:80: ENETUNREACH"),
        (
            {V6: failure(errno.EAFNOSUPPORT), V4: failure(errno.ENETUNREACH)},
            Reason.ADDRESS_FAMILY_UNSUPPORTED,
            "[2001:db8::1]:80: EAFNOSUPPORT",
        ),
        ({V4: failure(errno.ETIMEDOUT)}, Reason.TIMEOUT, "192.0.2.1:80: ETIMEDOUT"),
        ({}, Reason.NO_SUCH_NAME, "no address"),
    ],
)
def test_the_failure_that_tells_most_is_told(outcomes: Outcomes, reason: Reason, detail: str) -> None:
    with pytest.raises(AttemptError) as caught:
        choose(outcomes)
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


def test_a_silent_address_leaves_time_for_the_next() -> None:
    assert choose({V6: None, V4: "yes"}, 0.2) == "yes"
    assert choose({V6: None, V4: None, V4_TOO: "yes"}, 0.3) == "yes"


def test_all_silent_is_the_time_out_of_the_whole() -> None:
    with pytest.raises(TimeoutError):
        choose({V6: None, V4: None}, 0.1)


@pytest.mark.parametrize(
    ("family", "asked", "order"),
    [
        ("any", socket.AF_UNSPEC, [V4, V6, V4_TOO]),
        ("ipv4_first", socket.AF_UNSPEC, [V4, V4_TOO, V6]),
        ("ipv6_first", socket.AF_UNSPEC, [V6, V4, V4_TOO]),
        ("ipv4", socket.AF_INET, [V4, V6, V4_TOO]),  # the resolver gives only those
        ("ipv6", socket.AF_INET6, [V4, V6, V4_TOO]),
    ],
)
def test_a_setting_says_which_addresses_come_first(
    monkeypatch: pytest.MonkeyPatch, family: Family, asked: int, order: list[Address]
) -> None:
    async def resolve(host: str, port: int, wanted: int, deadline: float) -> list[Address]:
        assert (host, port, wanted, deadline) == ("a.test", 80, asked, 5.0)
        return [V4, V6, V4_TOO]

    monkeypatch.setattr(streams, "resolve", resolve)
    assert asyncio.run(look_up("a.test", 80, family, Stopwatch(lambda: 0.0), 5.0)) == order


def connecting(host: str, port: int, timeout: float = 5.0) -> Attempt:
    async def run() -> Attempt:
        deadline = asyncio.get_running_loop().time() + timeout

        async def work(watch: Stopwatch) -> None:
            (await connect(host, port, "any", watch, deadline)).close()

        return await measure(work, deadline)

    return asyncio.run(run())


@pytest.fixture
def full() -> Iterator[int]:
    """Yield a port whose backlog is full: its process was stopped, and the kernel drops who comes next."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        yield int(listener.getsockname()[1])


def test_a_port_that_takes_nobody_is_a_time_out(full: int) -> None:
    result = connecting("127.0.0.1", full, 0.1)
    assert (result.reason, result.detail) == (Reason.TIMEOUT, "after 0.1 s the connection was not made")
    assert result.phases["connect"] > 0.08


def test_a_port_that_nobody_has_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    result = connecting("127.0.0.1", port)
    assert (result.reason, result.detail) == (Reason.REFUSED, f"127.0.0.1:{port}: Connection refused")


def test_an_address_with_a_scope_that_is_not_there_could_not_be_asked() -> None:
    result = connecting("fe80::1%lo", 9)
    assert result.outcome in (Outcome.NOT_ASKED, Outcome.FAILED)
    assert result.reason is not Reason.INTERNAL_ERROR


def test_a_look_up_that_hangs_is_no_news_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object) -> list[Address]:
        await asyncio.sleep(3600)
        return []

    monkeypatch.setattr(streams, "resolve", resolve)
    result = connecting("a.test", 80, 0.05)
    assert (result.outcome, result.reason) == (Outcome.NOT_ASKED, Reason.RESOLVER_FAILED)


@pytest.mark.parametrize("error", [ResolveError(Reason.NO_SUCH_NAME, "a.test: no such name")])
def test_a_name_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, error: AttemptError) -> None:
    async def resolve(*_: object) -> list[Address]:
        raise error

    monkeypatch.setattr(streams, "resolve", resolve)
    assert connecting("a.test", 80).reason is Reason.NO_SUCH_NAME


def ended_by(end: Callable[["asyncio.Task[Attempt]"], object], seconds: float) -> Attempt | None:
    """Return what a waiting attempt comes to when somebody else ends it after some time; None for a cancelled one."""

    async def run() -> Attempt | None:
        async with serving(silent) as port:
            loop = asyncio.get_running_loop()
            deadline = loop.time() + seconds

            async def work(watch: Stopwatch) -> None:
                stream = await connect("127.0.0.1", port, "any", watch, deadline + 3600)
                try:
                    await stream.receive()
                finally:
                    stream.close()

            task = loop.create_task(measure(work, deadline))
            loop.call_later(0.05, end, task)
            try:
                return await task
            except asyncio.CancelledError:
                return None

    return asyncio.run(run())


def test_an_attempt_that_is_cancelled_at_its_deadline_keeps_its_phases() -> None:
    result = ended_by(lambda task: task.cancel(), 0.05)
    assert result is not None
    assert result.reason is Reason.TIMEOUT
    assert "connect" in result.phases


def test_an_attempt_that_is_cancelled_before_ends_and_leaves_no_socket() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ended_by(lambda task: task.cancel(), 60) is None
        gc.collect()
