"""The reader of services APIs: what is wrong with one instance costs that instance only."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.fleet import fetch
from exporter.fleet.errors import FetchError, Kind
from exporter.fleet.fetch import Address, Answer, look_up
from exporter.fleet.services_api import Instance, Limits, Poll, ServicesApi, parse_instance, parse_percent
from exporter.settings.services_api import ApiAddress, api_address
from tests.support.services_api import Fault, MockApi, instance, services_api

A, B, C = "10.58.1.1", "10.58.1.2", "10.58.1.3"
THREE = {A: instance(), B: instance("75%", "AuthService", " 8 % "), C: instance("0%")}


@pytest.fixture
def api() -> Iterator[MockApi]:
    with services_api(THREE) as server:
        yield server


def poll(server: MockApi | str, limits: Limits = Limits(timeout=2), seconds: float = 10) -> Poll:  # noqa: B008
    url = server if isinstance(server, str) else server.url
    return asyncio.run(ServicesApi(url, limits).poll(seconds))


def test_poll_returns_all_instances_in_the_order_of_the_list(api: MockApi) -> None:
    rows = (
        Instance(A, "UserService", 0.61, 0.04),
        Instance(B, "AuthService", 0.75, 0.08),
        Instance(C, "UserService", 0.0, 0.04),
    )
    assert poll(api) == Poll(rows, (), ordered=rows)
    assert sorted(api.requests) == [f"/{A}", f"/{B}", f"/{C}", "/servers"]


@pytest.mark.parametrize("base", ["127.0.0.1:{}", "[::1]:{}", "http://localhost:{}/", "HTTP://127.0.0.1:{}"])
def test_base_is_an_address_or_a_url(api: MockApi, base: str) -> None:
    assert len(poll(base.format(api.port)).instances) == 3


BASES = {
    "api:80": ApiAddress("api", 80, ""),
    "api": ApiAddress("api", 80, ""),
    "http://api": ApiAddress("api", 80, ""),
    "http://api:8080/cloud/v1/": ApiAddress("api", 8080, "/cloud/v1"),
    "[2001:db8::1]:8080": ApiAddress("2001:db8::1", 8080, ""),
    "http://[2001:db8::1]": ApiAddress("2001:db8::1", 80, ""),
    "192.0.2.1:8080/x": ApiAddress("192.0.2.1", 8080, "/x"),
}


@pytest.mark.parametrize(("text", "address"), BASES.items())
def test_address_of_an_api(text: str, address: ApiAddress) -> None:
    assert api_address(text) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected an address such as"),
        ("http://", "expected an address such as"),
        ("ftp://api", "expected an address such as"),
        ("https://api", "not spoken over TLS"),
        ("http://user:hunter2@api", "no name and password"),
        ("api:99999", "expected an address such as"),
        ("api/a b", "expected an address such as"),
        ("api/a?b", "expected an address such as"),
        ("api/a\r\nHost: evil", "expected an address such as"),
        ("a b:80", "expected an address such as"),
    ],
)
def test_what_is_no_address_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        api_address(text)
    assert "hunter2" not in str(caught.value)


FAULTS = {
    "not JSON": (Fault(b"<html>"), Kind.BAD_JSON),
    "empty": (Fault(b""), Kind.BAD_JSON),
    "not UTF-8": (Fault(b'{"cpu":"\xff"}'), Kind.BAD_JSON),
    "nested without end": (Fault(b"[" * 60_000), Kind.BAD_JSON),
    "no object": (Fault(b"[]"), Kind.BAD_VALUE),
    "no cpu": (Fault(b'{"service":"S","memory":"4%"}'), Kind.MISSING_FIELD),
    "no service": (Fault(b'{"cpu":"1%","memory":"4%"}'), Kind.MISSING_FIELD),
    "letters for a number": (Fault(b'{"cpu":"abc%","service":"S","memory":"4%"}'), Kind.BAD_VALUE),
    "a bare number": (Fault(b'{"cpu":61,"service":"S","memory":"4%"}'), Kind.BAD_VALUE),
    "service is no text": (Fault(b'{"cpu":"1%","service":7,"memory":"4%"}'), Kind.BAD_VALUE),
    "service without a name": (Fault(b'{"cpu":"1%","service":" ","memory":"4%"}'), Kind.BAD_VALUE),
    "gone between the two calls": (Fault(b'{"error":"Invalid IP"}', 400), Kind.GONE),
    "400 of somebody else": (Fault(b"bad gateway", 400), Kind.BAD_STATUS),
    "500": (Fault(b'{"error":"x"}', 500), Kind.BAD_STATUS),
    "reset": (Fault(reset=True), Kind.RESET),
    "nothing said in time": (Fault(hang=True), Kind.TIMEOUT),
    "cut off": (Fault(cut=True), Kind.BAD_ANSWER),
    "no HTTP": (Fault(garbage=b"220 mail.example.com ESMTP\r\n"), Kind.BAD_ANSWER),
    "closed without a word": (Fault(garbage=b""), Kind.BAD_ANSWER),
    "too large": (Fault(b" " * 70_000), Kind.TOO_LARGE),
    "headers without end": (Fault(garbage=b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 60_000), Kind.TOO_LARGE),
    "compressed": (
        Fault(garbage=b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b"),
        Kind.BAD_ANSWER,
    ),
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.values(), ids=FAULTS)
def test_fault_costs_one_instance(api: MockApi, fault: Fault, kind: Kind) -> None:
    api.instances = {A: instance(), C: instance(), B: instance()}  # last: what waits for its one thread is late too
    api.faults[f"/{B}"] = fault
    found = poll(api, Limits(timeout=0.1 if kind is Kind.TIMEOUT else 5, concurrency=1))
    assert [one.ip for one in found.instances] == [A, C]
    assert (found.broken[0].ip, found.broken[0].kind) == (B, kind)
    assert found.broken[0].detail


LIST_FAULTS = {
    "not JSON": (Fault(b"<html>"), Kind.BAD_JSON),
    "no list": (Fault(b'{"servers":[]}'), Kind.BAD_VALUE),
    "404": (Fault(b'{"error":"x"}', 404), Kind.BAD_STATUS),
    "reset": (Fault(reset=True), Kind.RESET),
    "too large": (Fault(b'["' + b"1" * 1_100_000), Kind.TOO_LARGE),
}


@pytest.mark.parametrize(("fault", "kind"), LIST_FAULTS.values(), ids=LIST_FAULTS)
def test_without_a_list_there_is_no_poll(api: MockApi, fault: Fault, kind: Kind) -> None:
    api.faults["/servers"] = fault
    with pytest.raises(FetchError) as caught:
        poll(api)
    assert caught.value.kind is kind
    assert api.requests == ["/servers"]


def test_refused_connection_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(FetchError) as caught:
        poll(f"127.0.0.1:{port}")
    assert caught.value.kind is Kind.REFUSED


def test_empty_list_is_no_error(api: MockApi) -> None:
    api.instances = {}
    assert poll(api) == Poll((), ())


def test_listed_twice_is_asked_once(api: MockApi) -> None:
    api.faults["/servers"] = Fault(f'["{A}","{A}"]'.encode())
    assert [one.ip for one in poll(api).instances] == [A]
    assert api.requests == ["/servers", f"/{A}"]


@pytest.mark.parametrize("entry", ['"../admin"', '"10.58.1.1\\r\\nX: y"', '""', '"10.58.1.999"', "7", "null", '["x"]'])
def test_entry_that_is_no_address_is_never_asked_for(api: MockApi, entry: str) -> None:
    api.faults["/servers"] = Fault(f'[{entry},"{A}"]'.encode())
    found = poll(api)
    assert [one.ip for one in found.instances] == [A]
    assert [broken.kind for broken in found.broken] == [Kind.BAD_VALUE]
    assert api.requests == ["/servers", f"/{A}"]


def test_ipv6_instances_are_asked_for(api: MockApi) -> None:
    api.instances = {"2001:db8::1": instance()}
    assert [one.ip for one in poll(api).instances] == ["2001:db8::1"]


def test_instances_over_the_limit_are_left_out(api: MockApi) -> None:
    found = poll(api, Limits(max_instances=2))
    assert ([one.ip for one in found.instances], found.left_out) == ([A, B], 1)
    assert len(api.requests) == 3


def test_poll_ends_in_its_time_and_tells_who_was_not_reached(api: MockApi) -> None:
    api.faults[f"/{A}"] = Fault(hang=True)
    found = poll(api, Limits(timeout=5, concurrency=1), seconds=0.2)
    assert [(broken.ip, broken.kind) for broken in found.broken] == [
        (A, Kind.OUT_OF_TIME),
        (B, Kind.OUT_OF_TIME),
        (C, Kind.OUT_OF_TIME),
    ]


def test_fleet_of_a_server_with_one_thread_is_read_whole() -> None:
    """It keeps five waiting: were more asked at a time, some would wait for a second connection attempt."""
    with services_api() as server:
        found = poll(server, Limits(timeout=0.9))
    assert (len(found.instances), found.broken) == (150, ())


class Counting:
    """A server that answers many at a time and notes how many."""

    def __init__(self, instances: int) -> None:
        self._list = str([f"10.0.{n // 250}.{n % 250}" for n in range(instances)]).replace("'", '"').encode()
        self.now = self.most = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        request = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.001)
        body = self._list if b"/servers" in request else b'{"cpu":"1%","service":"S","memory":"2%"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await reader.read()  # a client that keeps connections would be seen here
        self.now -= 1
        writer.close()


def with_server(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ask: Callable[[int], Awaitable[Poll]],
) -> Poll:
    async def main() -> Poll:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            return await ask(server.sockets[0].getsockname()[1])

    return asyncio.run(main())


@pytest.mark.parametrize("concurrency", [1, 4])
def test_no_more_requests_at_a_time_than_allowed(concurrency: int) -> None:
    counting = Counting(40)

    def ask(port: int) -> Awaitable[Poll]:
        return ServicesApi(f"127.0.0.1:{port}", Limits(concurrency=concurrency)).poll(10)

    assert len(with_server(counting.answer, ask).instances) == 40
    assert counting.most == concurrency


def test_next_address_is_asked_where_one_refuses(api: MockApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]

    async def both(_host: str, _port: int, _deadline: float) -> Sequence[Address]:
        return [Address(socket.AF_INET, ("127.0.0.1", port)) for port in (closed, api.port)]

    found = asyncio.run(ServicesApi("api.internal", look_up=both).poll(10))
    assert len(found.instances) == 3


def test_stopped_process_asks_once_more(api: MockApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks like a time-out after a pause says nothing about the server."""
    monkeypatch.setattr(fetch, "_STALL_SECONDS", 0.1)
    api.faults[f"/{B}"] = Fault(delay=0.35)

    async def main() -> Poll:
        reading = asyncio.ensure_future(ServicesApi(api.url, Limits(timeout=0.3, concurrency=1)).poll(20))
        while f"/{B}" not in api.requests:  # noqa: ASYNC110 -- the server knows no events of this loop
            await asyncio.sleep(0.001)
        api.faults.clear()
        time.sleep(0.5)  # noqa: ASYNC251 -- the pause
        return await reading

    assert len(asyncio.run(main()).instances) == 3


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("61%", 0.61), (" 61 % ", 0.61), ("0%", 0.0), ("100%", 1.0), ("57%", 0.57), ("4.25%", 0.0425), ("\t7%\n", 0.07)],
)
def test_percentage_is_a_ratio(text: str, ratio: float) -> None:
    assert parse_percent(text) == ratio


@pytest.mark.parametrize(
    "value",
    [
        *("abc%", "61", "%", "", "-1%", "+1%", "101%", "1e1%", "nan%", "inf%", "6 1%", "61%%", "1_0%", ".5%"),
        *("\u0666\u0661%", "61\uff05"),  # digits and a percent sign of other scripts
        *(61, 0.61, None, True, ["61%"], "1" * 100_000 + "%", " " * 100_000 + "%"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_percentage_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected 0% to 100%"):
        parse_percent(value)


@given(st.integers(0, 100))
def test_whole_percentages_are_the_nearest_number(percent: int) -> None:
    assert parse_percent(f"{percent}%") == float(f"{percent / 100:.2f}")


@given(st.binary(max_size=200))
def test_any_body_is_an_instance_or_a_fetch_error(body: bytes) -> None:
    with suppress(FetchError):
        assert parse_instance(A, Answer(200, body)).ip == A


@pytest.mark.parametrize(
    ("cpu", "memory", "healthy"),
    [(0.74, 0.74, True), (0.75, 0.0, False), (0.0, 0.75, False), (1.0, 1.0, False), (0.0, 0.0, True)],
)
def test_at_its_threshold_an_instance_is_unhealthy(cpu: float, memory: float, healthy: bool) -> None:
    assert Instance(A, "S", cpu, memory).is_healthy() is healthy


def test_look_up_of_an_address_needs_no_name_server() -> None:
    async def main() -> Sequence[Address]:
        return await look_up("127.0.0.1", 80, asyncio.get_running_loop().time() + 5)

    assert asyncio.run(main()) == [Address(socket.AF_INET, ("127.0.0.1", 80))]


def test_name_that_does_not_exist_is_told() -> None:
    async def main() -> None:
        await look_up("a..b", 80, asyncio.get_running_loop().time() + 5)

    with pytest.raises(FetchError) as caught:
        asyncio.run(main())
    assert caught.value.kind is Kind.RESOLVER_FAILED


def test_hung_look_up_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10) and [])

    async def main() -> None:
        await look_up("api.internal", 80, asyncio.get_running_loop().time() + 0.05)

    with pytest.raises(FetchError) as caught:
        asyncio.run(main())
    release.set()
    assert caught.value.kind is Kind.RESOLVER_FAILED
