"""One HTTP connection: httptools parses, limits hold, answers go out in order.

Every limit exists because of a client that was seen: a head without end (431), a byte a second (408), one that
never reads (the connection is dropped once its answer has not left for `request_timeout`), pipelining without end.
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import httptools

from exporter.logs import Log
from exporter.server.http import FAILED, Lost, Request, Response, head
from exporter.server.target import parse_target

if TYPE_CHECKING:
    from exporter.server.listener import Server

log = Log(__name__)

MAX_HEAD: Final = 16 * 1024
MAX_BODY: Final = 64 * 1024
# all that may come for one request, chunk frames and trailers included
MAX_MESSAGE: Final = 256 * 1024
MAX_PIPELINED: Final = 16
MAX_REPEATED: Final = 2048
# what handlers ask for; other headers are not kept, since 16 KiB of tiny ones take half a megabyte as objects
KEPT_HEADERS: Final = frozenset(
    {b"accept-encoding", b"authorization", b"expect", b"x-prometheus-scrape-timeout-seconds"}
)
# after an error answer, what the client still sends is read and dropped, else the reset would destroy the answer
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 8 * 1024 * 1024


class _Refused(Exception):  # noqa: N818 -- control flow out of the parser's callbacks
    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Connection(asyncio.BufferedProtocol):
    """A connection's state: the request being parsed, those that wait, the one being answered."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._loop = server.loop
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._size = 0
        self._head_size = 0
        self._body_size = 0
        self._head_done = True
        self._receiving = False
        self._half_closed = False
        self._refusal: Response | None = None
        self._lingering = 0
        self._waiting: deque[tuple[Request, bool]] = deque()
        self.client = ""
        self._last: Request | None = None
        self._messages = 0
        self._repeated = (b"", Request("", "", "", {}, ""))
        self.busy = False
        self._paused = False
        self._closed = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._lost: Lost | None = None  # set while this is the open end of an answer

    # -- transport ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in; its first request has to come within the request time-out."""
        self._transport = cast("asyncio.Transport", transport)
        self.client = str((transport.get_extra_info("peername") or ("",))[0])
        self._server.opened(self)
        if not self._server.admits(transport):
            self.drop()
            return
        self._transport.set_write_buffer_limits(1)  # what one client does not take is never more than an answer
        self._expire_in(self._server.limits.request_timeout)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """Count the connection out."""
        self._closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._server.lost(self)
        if self._lost is not None:
            self._lost()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- asyncio's signature
        """Lend the server's one buffer: what it receives is used up before the next connection is read."""
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what came."""
        if self._lingering:
            self._lingering += nbytes
            if self._lingering > LINGER_BYTES:
                self._transport.abort()
            return
        data = bytes(self._server.buffer[:nbytes])
        quiet = not (self._receiving or self.busy or self._waiting)
        if quiet and data == self._repeated[0]:  # a scraper sends the same bytes each time: nothing to parse
            self._waiting.append((self._repeated[1], True))
            self._next()
            return
        self._size += nbytes
        self._forget_last()
        try:
            self._feed(data)
        except _Refused as err:
            self._fail(err.response)
        except httptools.HttpParserCallbackError as err:
            refused = err.__context__
            if not isinstance(refused, _Refused):
                raise
            self._fail(refused.response)
        except httptools.HttpParserError:
            self._fail(Response(400, b"400: this is no HTTP request\n"))
        else:
            if self._receiving and not self.busy:
                self._expire_in(self._server.limits.request_timeout, keep_earlier=True)
            if quiet and self._last is not None and not self._receiving and nbytes <= MAX_REPEATED:
                self._repeated = (data, self._last)

    def _forget_last(self) -> None:
        self._last, self._messages = None, 0

    def _feed(self, data: bytes) -> None:
        """Parse, and hold what came of an unfinished request against the limits."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as err:
                self._messages += 1
                data = data[err.args[0] :]  # nobody is upgraded here: the request counts without (RFC 9110, 7.8)
                if data:
                    continue
            break
        if self._receiving and self._size > MAX_HEAD:
            if not self._head_done:
                self._refuse(431, "request line and headers are over 16 KiB")
            if self._size > MAX_MESSAGE:
                self._refuse(413, "no endpoint takes a body")
        if self._receiving and self._head_done and b"expect" in self._headers:
            self._refuse(417, "no endpoint takes a body")  # at once: the client waits with it for our word

    def eof_received(self) -> bool:
        """Go on answering when the client has shut down its sending side with a request under way."""
        self._half_closed = True
        return self._lost is None and (self.busy or bool(self._waiting))

    def pause_writing(self) -> None:
        """Stop reading: the client does not take what it asked for."""
        self._paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on where the client made us stop."""
        self._paused = False
        self._transport.resume_reading()
        self._next()

    # -- httptools' callbacks -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self._url = b""
        self._headers = {}
        self._head_done = False
        self._receiving = True
        self._head_size = 0
        self._body_size = 0

    def on_url(self, url: bytes) -> None:
        """Collect the request target, which may come in pieces."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header that somebody asks for, and count all of them, those of a trailer too."""
        self._head_size += len(name) + len(value) + 4
        name = name.lower()
        if name in KEPT_HEADERS:
            self._headers[name] = value
        if self._head_size > MAX_HEAD:
            self._refuse(431, "request line and headers are over 16 KiB")

    def on_headers_complete(self) -> None:
        """Check the head's size where it came in one piece with other data."""
        self._head_done = True
        if len(self._url) + self._head_size > MAX_HEAD:
            self._refuse(431, "request line and headers are over 16 KiB")

    def on_body(self, body: bytes) -> None:
        """Drop a body, up to a limit: no endpoint takes one."""
        self._body_size += len(body)
        if self._body_size > MAX_BODY:
            self._refuse(413, "no endpoint takes a body")

    def on_message_complete(self) -> None:
        """Queue the request behind those before it."""
        self._size = 0
        self._receiving = False
        self._messages += 1
        try:
            path, query = parse_target(self._url)
        except ValueError:
            self._refuse(400, "this is no request target")
        if len(self._waiting) >= MAX_PIPELINED:
            self._refuse(429, "too many requests at once on one connection")
        keep_alive = self._parser.should_keep_alive()
        request = Request(self._parser.get_method().decode(), path, query, self._headers, self.client)
        # only what is one whole request without a body, and leaves the connection open, may come again unparsed
        self._last = request if keep_alive and not self._body_size and self._messages == 1 else None
        self._waiting.append((request, keep_alive))
        self._next()

    # -- answering ----------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Hand the next request to its handler, one at a time."""
        if self.busy or self._paused or self._closed or not self._waiting:
            return
        self.busy = True
        request, keep_alive = self._waiting.popleft()
        try:
            self._server.handler(request, lambda response: self._answer(request, response, keep_alive=keep_alive))
        except Exception as err:  # noqa: BLE001 -- the boundary around handlers
            log.error("request failed", method=request.method, path=request.path[:200], exc=err)
            self._answer(request, FAILED, keep_alive=False)

    def _answer(self, request: Request, response: Response, *, keep_alive: bool) -> None:
        if not self.busy or self._closed:
            return  # the client left, or was refused, while its page was made
        if response.opened is not None and request.method != "HEAD":
            self._begin(response)
            return
        self.busy = False
        last = not self._waiting and self._refusal is None
        close = not keep_alive or self._server.stopping or (self._half_closed and last) or response.opened is not None
        text = head(response, self._server.date.at(time.time()), close=close)
        self._transport.write(text if request.method == "HEAD" else text + response.body)
        if close:
            self._closed = True
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._expire_in(self._server.limits.request_timeout)
            return
        self._server.answered(self)
        if self._transport.get_write_buffer_size():
            self._expire_in(self._server.limits.request_timeout, keep_earlier=True)
        elif self._receiving:
            self._expire_in(self._server.limits.request_timeout)
        else:
            self._deadline = self._loop.time() + self._server.limits.idle_timeout
        if self._waiting:
            self._next()
        elif self._refusal is not None:
            self._fail(self._refusal)

    def _begin(self, response: Response) -> None:
        """Send head and first piece of an answer without an end; the connection stays busy with it."""
        assert response.opened is not None  # noqa: S101 -- asked before
        self._transport.write(head(response, self._server.date.at(time.time()), close=True) + response.body)
        self._expire_in(self._server.limits.request_timeout)
        self._lost = response.opened(self)

    def send(self, data: bytes) -> bool:
        """Send more of an answer without an end, but nothing while the last piece has not left."""
        if self._closed or self._transport.get_write_buffer_size():
            return False
        self._transport.write(data)
        if self._transport.get_write_buffer_size():
            self._expire_in(self._server.limits.request_timeout)
        return True

    def end(self) -> None:
        """End an answer without an end."""
        if not self._closed:
            self._closed = True
            self._transport.close()

    def _refuse(self, status: int, why: str) -> None:
        raise _Refused(Response(status, f"{status}: {why}\n".encode()))

    def _fail(self, response: Response) -> None:
        """Send an error behind the answers under way, then drop what still comes until it closes or time is up."""
        if self._closed:
            return
        self._lingering = 1
        if self.busy or self._waiting:
            self._refusal = response
            return
        self._transport.write(head(response, self._server.date.at(time.time()), close=True) + response.body)
        if self._transport.can_write_eof():
            with suppress(OSError):  # the client is gone already
                self._transport.write_eof()
        self._expire_in(LINGER_SECONDS)

    # -- time ---------------------------------------------------------------------------------------------------

    def _expire_in(self, seconds: float, *, keep_earlier: bool = False) -> None:
        """Set the moment at which this connection has waited long enough.

        The timer is moved only when it would fire too late: a request that comes whole costs no timer at all.
        """
        deadline = self._loop.time() + seconds
        if keep_earlier and self._timer is not None and self._deadline <= deadline:
            deadline = self._deadline
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._expired)

    def _expired(self) -> None:
        self._timer = None
        if self._closed and not self._transport.get_write_buffer_size():
            return
        if self.busy and not self._transport.get_write_buffer_size():
            self._expire_in(self._server.limits.request_timeout)  # our turn, not the client's
        elif self._deadline > self._loop.time() + 0.01:
            self._expire_in(self._deadline - self._loop.time())
        elif self._receiving and not self._lingering and not self._transport.get_write_buffer_size():
            self._fail(Response(408, b"408: the request did not end in time\n"))
        elif self._lingering or self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def shut(self) -> None:
        """Close at once when idle, or when the answer has no end; a request under way is answered first."""
        if not self.busy or self._lost is not None:
            self._closed = True
            self._transport.close()

    def drop(self) -> None:
        """Close at once whatever is under way."""
        self._closed = True
        self._waiting.clear()
        self._transport.abort()
