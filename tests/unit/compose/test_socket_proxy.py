"""The proxy of the engine's socket: four questions pass, as they come; nothing else reaches the engine."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.socket_proxy import MAX_CONNECTIONS, Proxy, RefusedError, is_stream, parse_head
from tests.support.client import until

PASSES = [
    "/_ping",
    "/v1.41/_ping",
    "/containers/json",
    "/v1.24/containers/json?all=1",
    "/containers/json?all=1&limit=5",
    "/containers/0123456789abcdef/json",
    "/v1.41/containers/web_1.blue-2/json",
    "/v1.41/events?since=1700000000.000000000&until=1700000300.000000000&filters=%7B%22type%22%3A%5B%22container%22%5D%7D",
    "/events",
]
REFUSED = [
    "/",
    "/info",
    "/version",
    "/images/json",
    "/containers/json/",
    "//containers/json",
    "/containers/json?size=1",
    "/containers/json?all=1&size=1",
    "/containers/json?all=1&all=1&all=1&all=1",
    "/containers/json#x",
    "/containers/x/json?size=1",
    "/containers/x/top",
    "/containers/x/archive?path=/etc/shadow",
    "/containers/x/logs?stdout=1",
    "/containers/../images/json",
    "/containers/%2e%2e/images/json",
    "/containers/x%2fjson/json",
    "/containers/x/y/json",
    "/containers/.x/json",
    "/v1.41/v1.41/_ping",
    "/v1/_ping",
    "/v1.4x/_ping",
    "http://docker/_ping",
    "*",
    "/_ping\x00",
    "/_ping\n",
    "/events?since=1 HTTP/1.1",
    "/events?since=" + "1" * 2000,
    "/_pıng",
]


def head(target: str, method: str = "GET", *headers: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *headers]).encode()


@pytest.mark.parametrize("target", PASSES)
def test_what_the_exporter_asks_passes(target: str) -> None:
    assert parse_head(head(target)) == target
    assert is_stream(target) is ("/events" in target)


@pytest.mark.parametrize("target", REFUSED, ids=ascii)
def test_anything_else_is_refused(target: str) -> None:
    with pytest.raises(RefusedError):
        parse_head(head(target))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "get", ""])
def test_only_get_passes(method: str) -> None:
    with pytest.raises(RefusedError):
        parse_head(head("/_ping", method))


@pytest.mark.parametrize(
    "header", ["Content-Length: 5", "content-length : 0", "Transfer-Encoding: chunked", "Upgrade: tcp"]
)
def test_what_could_carry_a_second_request_is_refused(header: str) -> None:
    with pytest.raises(RefusedError, match="no body"):
        parse_head(head("/_ping", "GET", header))


@pytest.mark.parametrize("line", [b"", b"GET", b"GET /_ping", b"GET /_ping HTTP/2", b"GET  /_ping HTTP/1.1", b"\xff"])
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(RefusedError):
        parse_head(line)


class Sockets:
    """A proxy on a thread of its own, and an engine that a test plays."""

    def __init__(self, folder: Path) -> None:
        self.engine_path, self._path = str(folder / "engine"), str(folder / "proxy")
        self.engine = socket.socket(socket.AF_UNIX)
        self.engine.bind(self.engine_path)
        self.engine.listen()
        self.engine.settimeout(30)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.proxy = Proxy(self.engine_path)
        server = self._loop.run_until_complete(asyncio.start_unix_server(self.proxy.serve, self._path, limit=8192))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def client(self, data: bytes = b"") -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(30)
        made.connect(self._path)
        made.sendall(data)
        return made

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self.engine.close()


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Sockets]:
    made = Sockets(tmp_path)
    yield made
    made.close()


def received(sock: socket.socket, end: bytes = b"") -> bytes:
    """Return what comes, up to `end`, or to the end of the stream."""
    data = b""
    while not (end and data.endswith(end)) and (more := sock.recv(4096)):
        data += more
    return data


def test_answer_comes_back_as_the_engine_gave_it(sockets: Sockets) -> None:
    with sockets.client(head("/v1.41/containers/json?all=1", "GET", "Cookie: x") + b"\r\n\r\n") as client:
        with sockets.engine.accept()[0] as engine:
            asked = received(engine, b"\r\n\r\n")
            engine.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        assert received(client) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
    assert asked == b"GET /v1.41/containers/json?all=1 HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n", (
        "ours alone"
    )


def test_events_come_one_by_one_while_the_stream_is_open(sockets: Sockets) -> None:
    with sockets.client(head("/events") + b"\r\n\r\n") as client, sockets.engine.accept()[0] as engine:
        received(engine, b"\r\n\r\n")
        for event in (b"HTTP/1.1 200 OK\r\n\r\n", b'{"a":1}\n', b'{"b":2}\n'):
            engine.sendall(event)
            assert received(client, event) == event


def test_stream_that_nobody_reads_any_more_is_closed_on_the_engine_s_side(sockets: Sockets) -> None:
    client = sockets.client(head("/events") + b"\r\n\r\n")
    with sockets.engine.accept()[0] as engine:
        engine.settimeout(30)
        received(engine, b"\r\n\r\n")
        client.close()
        assert engine.recv(1) == b""


def test_refused_request_never_reaches_the_engine(sockets: Sockets) -> None:
    with sockets.client(head("/containers/create", "POST", "Content-Length: 2") + b"\r\n\r\n{}") as client:
        assert received(client).startswith(b"HTTP/1.1 405 ")
    sockets.engine.settimeout(0)
    with pytest.raises(BlockingIOError):
        sockets.engine.accept()


def test_second_request_on_a_connection_is_dropped(sockets: Sockets) -> None:
    with sockets.client((head("/_ping") + b"\r\n\r\n") * 2) as client:
        with sockets.engine.accept()[0] as engine:
            assert received(engine, b"\r\n\r\n").count(b"GET") == 1
            engine.sendall(b"HTTP/1.1 200 OK\r\n\r\nOK")
        assert received(client).count(b"HTTP/1.1") == 1
    sockets.engine.settimeout(0)
    with pytest.raises(BlockingIOError):
        sockets.engine.accept()


def test_engine_that_is_away_is_502_and_found_again(sockets: Sockets) -> None:
    Path(sockets.engine_path).rename(f"{sockets.engine_path}.away")
    with sockets.client(head("/_ping") + b"\r\n\r\n") as client:
        assert received(client).startswith(b"HTTP/1.1 502 ")
    Path(f"{sockets.engine_path}.away").rename(sockets.engine_path)
    with sockets.client(head("/_ping") + b"\r\n\r\n"):
        sockets.engine.accept()[0].close()


def test_head_without_an_end_is_bounded(sockets: Sockets) -> None:
    with sockets.client() as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(b"GET /_ping HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert received(client) == b""


def test_more_connections_than_allowed_are_refused_and_room_comes_back(sockets: Sockets) -> None:
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(sockets.client(b"GET")) for _ in range(MAX_CONNECTIONS)]
        until(lambda: sockets.proxy._open == MAX_CONNECTIONS, "all open", seconds=30)
        with sockets.client(head("/_ping") + b"\r\n\r\n") as one_more:
            assert received(one_more).startswith(b"HTTP/1.1 503 ")
        waiting[0].close()
        until(lambda: sockets.proxy._open < MAX_CONNECTIONS, "room", seconds=30)
        with sockets.client(head("/_ping") + b"\r\n\r\n"):
            sockets.engine.accept()[0].close()
