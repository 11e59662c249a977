"""Whatever bytes come, however they are cut: never a traceback, the server lives, what it keeps is bounded."""

import gc
import socket
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.client import ask, connect, request
from tests.support.exporter import InProcess, server_running

_PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"GET /soon HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /fail HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: Upgrade\r\nUpgrade: x\r\n",
        b"Expect: 100-continue\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"X: " + b"y" * 20_000,
        b"4\r\nabcd\r\n",
        b"0\r\n\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\0",
    ]
)
_DATA = st.lists(st.one_of(_PIECES, st.binary(max_size=50)), max_size=12)


@pytest.fixture(scope="module")
def server() -> Iterator[InProcess]:
    with server_running() as running:
        yield running


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pieces=_DATA, half_close=st.booleans(), cut=st.integers(1, 50))
def test_any_bytes_are_survived(server: InProcess, pieces: list[bytes], half_close: bool, cut: int) -> None:
    with connect(server.port) as sock:
        try:
            for piece in pieces:
                sock.sendall(piece[:cut])
                sock.sendall(piece[cut:])
            if half_close:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
        except OSError:
            pass  # refused and closed while we went on
    assert not server.failures, server.failures
    assert ask(server.port, request("/", "Connection: close")).status == 200


def test_what_a_flood_of_odd_requests_leaves_behind_is_bounded(server: InProcess) -> None:
    def flood(rounds: int) -> None:
        for n in range(rounds):
            target = f"/?{n}" + "x" * 15_000
            assert ask(server.port, request(target, f"Accept-Encoding: {n}", "Connection: close")).status == 200

    flood(300)
    gc.collect()
    tracemalloc.start()
    try:
        flood(600)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1024 * 1024


def test_many_tiny_headers_are_not_kept(server: InProcess) -> None:
    head = request("/never")[:-2] + b"".join(b"%x:\r\n" % n for n in range(2000)) + b"\r\n"
    tracemalloc.start()
    socks = [connect(server.port) for _ in range(20)]
    try:
        for sock in socks:
            sock.sendall(head)
        assert ask(server.port, request("/", "Connection: close")).status == 200
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        for sock in socks:
            sock.close()
    assert kept < 20 * 50 * 1024
