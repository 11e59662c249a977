"""One HTTP GET on the running loop, with limits."""

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import httptools

from exporter.fleet.errors import FetchError, Kind, kind_of

MAX_HEAD: Final = 64 * 1024
_CHUNK: Final = 65536
# a deadline seen this late means that this process was stopped: nobody knows what the answer would have been
_STALL_SECONDS: Final = 1.0

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class Address(NamedTuple):
    """One address of a server."""

    family: int
    """AF_INET or AF_INET6."""
    sockaddr: SocketAddress


LookUp = Callable[[str, int, float], Awaitable[Sequence[Address]]]
"""Gives the addresses of a host and port, until a moment of the loop's clock. Raises FetchError."""


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes


async def get(address: Address, host: str, target: str, seconds: float, max_bytes: int) -> Answer:
    """Return the answer to one request on a connection of its own. Raises FetchError.

    The connection is never kept: a server that takes one at a time would not answer anybody else meanwhile.
    """
    loop = asyncio.get_running_loop()
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: hostwatch\r\nConnection: close\r\n\r\n".encode()
    for is_last in (False, True):
        deadline = loop.time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                return await _exchange(address, request, max_bytes)
        except TimeoutError as err:
            if is_last or loop.time() - deadline < _STALL_SECONDS:
                raise FetchError(Kind.TIMEOUT, f"no whole answer within {seconds:g} s") from err
        except OSError as err:
            # asyncio puts words of its own into strerror
            raise FetchError(kind_of(err), os.strerror(err.errno) if err.errno else str(err)) from err
    raise AssertionError


async def _exchange(address: Address, request: bytes, max_bytes: int) -> Answer:
    loop = asyncio.get_running_loop()
    answer = _Incoming(max_bytes)
    with socket.socket(address.family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)  # noqa: FBT003 -- its own signature
        await loop.sock_connect(connection, address.sockaddr)
        await loop.sock_sendall(connection, request)
        while not answer.is_complete:
            answer.feed(await loop.sock_recv(connection, _CHUNK))
    return Answer(answer.status, b"".join(answer.parts))


class _Incoming:
    """An answer as it comes in."""

    def __init__(self, max_bytes: int) -> None:
        self.status = 0
        self.parts: list[bytes] = []
        self.is_complete = False
        self._has_length = False
        self._head = self._size = 0
        self._max_bytes = max_bytes
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take the next bytes; none is the end of the connection. Raises FetchError."""
        if not data:
            if not self.status or self._has_length:
                raise FetchError(Kind.BAD_ANSWER, "the connection was closed before the end of the answer")
            self.is_complete = True  # without a length the end of the connection is the answer's
            return
        if not self.status:
            self._limit_head(len(data))
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as err:
            if isinstance(err.__context__, FetchError):  # ours, raised within the parser
                raise err.__context__ from None
            if not self.is_complete:  # what stands behind the answer is no matter
                raise FetchError(Kind.BAD_ANSWER, f"not HTTP: {err}") from err

    def _limit_head(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD + _CHUNK:  # the body may begin in the same piece
            raise FetchError(Kind.TOO_LARGE, f"more than {MAX_HEAD} bytes of headers")

    # called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note whether the answer says where it ends."""
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._has_length = True
        if name.lower() == b"content-encoding" and value.lower() != b"identity":
            raise FetchError(Kind.BAD_ANSWER, "it is compressed, which was not asked for")

    def on_headers_complete(self) -> None:
        """Take the status; one below 200 only announces another."""
        status = int(self._parser.get_status_code())
        self.status = status if status >= 200 else 0

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self._size += len(data)
        if self._size > self._max_bytes:
            raise FetchError(Kind.TOO_LARGE, f"more than {self._max_bytes} bytes")
        self.parts.append(data)

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        self.is_complete = self.status != 0


async def look_up(host: str, port: int, deadline: float) -> Sequence[Address]:
    """Return the addresses of a host, best first, by getaddrinfo(3) on a daemon thread. Raises FetchError.

    Not on the loop's executor: its threads are joined at exit, and a dead name server would hold that up.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[Address] | FetchError] = loop.create_future()

    def settle(result: Sequence[Address] | FetchError) -> None:
        if not found.done():
            found.set_result(result)

    def work() -> None:
        result: Sequence[Address] | FetchError
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result = [Address(row[0], row[4]) for row in rows]  # type: ignore[arg-type]  # of TCP there is no other
        except socket.gaierror as err:
            kind = Kind.NO_SUCH_NAME if err.errno == socket.EAI_NONAME else Kind.RESOLVER_FAILED
            result = FetchError(kind, f"{host}: {err.strerror}")
        except (OSError, UnicodeError) as err:
            result = FetchError(Kind.RESOLVER_FAILED, f"{host}: {err}")
        try:
            loop.call_soon_threadsafe(settle, result)
        except RuntimeError:  # the loop has ended meanwhile
            return

    threading.Thread(target=work, daemon=True, name="look-up").start()
    try:
        async with asyncio.timeout_at(deadline):
            result = await found
    except TimeoutError as err:
        raise FetchError(Kind.RESOLVER_FAILED, f"{host}: the look-up did not end in time") from err
    if isinstance(result, FetchError):
        raise result
    return result
