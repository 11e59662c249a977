"""Answers without an end: sent as they come, ended by either side, and nobody else's connection suffers."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from exporter.server.http import Channel, Reply, Request, Response
from exporter.settings.exporter import Http
from tests.support.client import connect, request, until
from tests.support.exporter import InProcess, server_running

OPEN = request("/stream")


class Scene:
    """A server with one endless answer, and its open ends."""

    def __init__(self) -> None:
        self.open: list[Channel] = []
        self.server: InProcess

    def handle(self, _: Request, reply: Reply) -> None:
        reply(Response(200, b"begin\n", "text/event-stream", ("X-Kind: endless",), self._opened))

    def _opened(self, channel: Channel) -> Callable[[], None]:
        self.open.append(channel)
        asyncio.get_running_loop().call_soon(channel.send, b"at once\n")
        return lambda: self.open.remove(channel)

    def tell(self, data: bytes) -> None:
        self.server.call(lambda: [channel.send(data) for channel in self.open])


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    with server_running({"/stream": made.handle}, Http()) as server:
        made.server = server
        yield made


def read_until(sock: socket.socket, end: bytes, data: bytes = b"") -> bytes:
    while not data.endswith(end):
        more = sock.recv(65536)
        assert more, data
        data += more
    return data


def test_head_comes_without_a_length_and_what_follows_as_it_is_sent(scene: Scene) -> None:
    with connect(scene.server.port) as sock:
        sock.sendall(OPEN)
        data = read_until(sock, b"at once\n")
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: close" in head
        assert b"X-Kind: endless" in head
        assert b"Content-Length" not in head
        assert body == b"begin\nat once\n"
        scene.tell(b"later\n")
        assert read_until(sock, b"later\n") == b"later\n"


def test_head_alone_is_answered_and_the_connection_closed(scene: Scene) -> None:
    with connect(scene.server.port) as sock:
        sock.sendall(request("/stream", method="HEAD"))
        data = read_until(sock, b"\r\n\r\n")
        assert b"Connection: close" in data
        assert sock.recv(1) == b""
    assert scene.open == []


def test_client_that_leaves_is_told_of(scene: Scene) -> None:
    with connect(scene.server.port) as sock:
        sock.sendall(OPEN)
        read_until(sock, b"at once\n")
    until(lambda: not scene.open and not scene.server.connections, "it is gone", seconds=30)
    scene.tell(b"to nobody")


def test_client_that_has_said_all_is_not_waited_for(scene: Scene) -> None:
    with connect(scene.server.port) as sock:
        sock.sendall(OPEN)
        read_until(sock, b"at once\n")
        sock.shutdown(socket.SHUT_WR)
        until(lambda: not scene.open, "it is gone", seconds=30)


def test_our_end_ends_the_answer(scene: Scene) -> None:
    with connect(scene.server.port) as sock:
        sock.sendall(OPEN)
        read_until(sock, b"at once\n")
        scene.tell(b"last\n")
        scene.server.call(scene.open[0].end)
        read_until(sock, b"last\n")
        assert sock.recv(1) == b""
    until(lambda: not scene.open, "it is told of", seconds=30)


def test_requests_behind_it_are_not_answered_and_do_no_harm(scene: Scene) -> None:
    with connect(scene.server.port) as sock:
        sock.sendall(OPEN + request("/stream") * 3 + b"\0 no request \r\n\r\n")
        read_until(sock, b"at once\n")
        scene.tell(b"later\n")
        assert read_until(sock, b"later\n") == b"later\n"
        assert len(scene.open) == 1


def test_it_makes_no_room_for_others_and_is_not_thrown_out() -> None:
    scene = Scene()
    with (
        server_running({"/stream": scene.handle}, Http(max_connections=2)) as scene.server,
        connect(scene.server.port) as sock,
        ExitStack() as others,
    ):
        sock.sendall(OPEN)
        read_until(sock, b"at once\n")
        for _ in range(5):
            others.enter_context(connect(scene.server.port))
        until(lambda: scene.server.connections == 2, "the quiet ones made room", seconds=30)
        scene.tell(b"still here\n")
        read_until(sock, b"still here\n")


def test_server_that_stops_ends_it() -> None:
    scene = Scene()
    with ExitStack() as stack:
        with server_running({"/stream": scene.handle}) as scene.server:
            sock = stack.enter_context(connect(scene.server.port))
            sock.sendall(OPEN)
            read_until(sock, b"at once\n")
        assert sock.recv(1) == b""
