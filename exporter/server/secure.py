"""TLS of a connection: stands between the socket's transport and the HTTP protocol, which sees it as its transport.

asyncio's own layer is not used: it keeps 256 KiB for each connection, lets any number wait in their handshake, runs as
many handshakes in one turn of the loop as clients ask for, and does not tell how much of an answer has left.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

BUFFER: Final = 64 * 1024
HANDSHAKE_SECONDS: Final = 5.0
# all that may wait of a client that has not shown who it is: the longest chain of certificates that OpenSSL takes
MAX_HANDSHAKE: Final = 128 * 1024

_NO_TLS: Final = b"400: this port speaks TLS: https\n"
_PLAIN_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b"
) % (len(_NO_TLS), _NO_TLS)


class Handshakes:
    """The connections that are not known yet: `limit` at most, and one step of one of them in a turn of the loop.

    A step with a private key takes a millisecond or more: what else is ready is served between two of them.
    """

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        protocol: Callable[[], asyncio.BufferedProtocol],
        limit: Callable[[], int],
    ) -> None:
        self.context = context
        self.protocol = protocol
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(BUFFER))
        self._limit = limit
        self._under_way: dict[Secure, None] = {}
        self._steps: deque[Secure] = deque()

    def begin(self, connection: "Secure") -> None:
        """Count a connection in; over the limit, the one that has taken longest makes room."""
        self._under_way[connection] = None
        if len(self._under_way) > self._limit():
            longest = next(iter(self._under_way))
            del self._under_way[longest]  # now: that its socket is closed is told in a later turn of the loop
            longest.abort()

    def end(self, connection: "Secure") -> None:
        """Count a connection out that is known, or gone."""
        self._under_way.pop(connection, None)

    def step(self, connection: "Secure") -> None:
        """Let a connection go on with its handshake when its turn comes."""
        self._steps.append(connection)
        if len(self._steps) == 1:
            self.loop.call_soon(self._next)

    def _next(self) -> None:
        try:
            self._steps[0].shake()
        finally:
            self._steps.popleft()
            if self._steps:
                self.loop.call_soon(self._next)

    def stop(self) -> None:
        """Drop all of them."""
        for connection in tuple(self._under_way):
            connection.abort()


class Secure(asyncio.BufferedProtocol):
    """One connection's TLS: a protocol to the socket, a transport to HTTP (those methods that it calls)."""

    def __init__(self, handshakes: Handshakes) -> None:
        self._handshakes = handshakes
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None  # 50 KB that a client who says nothing does not get
        self._app: asyncio.BufferedProtocol | None = None
        self._socket: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._in_turn = False
        self._paused = False
        self._closed = False
        self._said_all = False

    # -- the socket's side --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the handshake, for a limited time in all."""
        self._socket = cast("asyncio.Transport", transport)
        self._timer = self._handshakes.loop.call_later(HANDSHAKE_SECONDS, self.abort)
        self._handshakes.begin(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell HTTP, if it knew of this connection."""
        self._closed = True
        self._known()
        if self._app is not None:
            self._app.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- asyncio's signature
        """Lend the one buffer: what it receives is used up before the next connection is read."""
        return self._handshakes.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with the handshake, or decrypt."""
        if self._closed:
            return
        if self._said_all and self._app is not None:
            self._app.buffer_updated(nbytes)  # which only counts by now
            return
        self._incoming.write(self._handshakes.buffer[:nbytes])
        if self._app is not None:
            self._read()
        elif self._incoming.pending > MAX_HANDSHAKE:
            self.abort()
        elif not self._in_turn:
            self._in_turn = True
            self._handshakes.step(self)

    def eof_received(self) -> bool:
        """Hand on that the client sends no more."""
        return self._app is not None and bool(self._app.eof_received())

    def pause_writing(self) -> None:
        """Hand on that the client does not read."""
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that the client reads again."""
        if self._app is not None:
            self._app.resume_writing()

    # -- handshake ----------------------------------------------------------------------------------------------

    def shake(self) -> None:
        """Take one step of the handshake, with what came so far."""
        self._in_turn = False
        if self._closed:
            return
        try:
            if self._tls is None:
                self._tls = self._handshakes.context().wrap_bio(self._incoming, self._outgoing, server_side=True)
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as err:
            self._refuse(err)
        else:
            self._flush()
            self._known()
            self._app = self._handshakes.protocol()
            self._app.connection_made(cast("asyncio.Transport", self))
            self._read()

    def _known(self) -> None:
        self._timer.cancel()
        self._handshakes.end(self)

    def _refuse(self, err: ssl.SSLError) -> None:
        """Send OpenSSL's alert, or an answer that a client without TLS understands, and close."""
        self._flush()
        if err.reason == "HTTP_REQUEST":
            self._socket.write(_PLAIN_ANSWER)
        self._closed = True
        self._socket.close()

    # -- data ---------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Decrypt what is there and hand it on."""
        app, tls = self._app, self._tls
        if app is None or tls is None:
            return
        try:
            while not (self._paused or self._closed or self._said_all) and (self._incoming.pending or tls.pending()):
                buffer = cast("memoryview", app.get_buffer(-1))
                count = tls.read(len(buffer), cast("Any", buffer))
                if not count:
                    self._end_of_data(app)
                    return
                app.buffer_updated(cast("int", count))
        except ssl.SSLWantReadError:  # part of a record, or one of TLS' own
            self._flush()
        except ssl.SSLZeroReturnError:
            self._end_of_data(app)
        except ssl.SSLError:
            self._flush()
            self._closed = True
            self._socket.close()

    def _end_of_data(self, app: asyncio.BufferedProtocol) -> None:
        if not app.eof_received():
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.write(self._outgoing.read())

    # -- a transport, to HTTP -----------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return the client's certificate, or what the socket's transport knows."""
        if name == "peercert" and self._tls is not None:
            return self._tls.getpeercert()
        return self._socket.get_extra_info(name, default)

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if self._closed or self._said_all or self._tls is None:
            return
        try:
            sent = self._tls.write(data)
            while sent < len(data):
                sent += self._tls.write(memoryview(data)[sent:])
        except ssl.SSLError:  # the client broke TLS' rules, or ended it
            self.abort()
        else:
            self._flush()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes have not left, encrypted."""
        return self._socket.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from how many bytes on HTTP is told to pause."""
        self._socket.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Hand nothing more on, and read nothing more."""
        self._paused = True
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Go on with what came already, then with what comes."""
        self._paused = False
        self._socket.resume_reading()
        self._handshakes.loop.call_soon(self._read)

    def can_write_eof(self) -> bool:
        """Return that it can."""
        return True

    def write_eof(self) -> None:
        """Tell the client that no more comes, and go on reading."""
        self._say_all()
        if not self._closed:
            self._socket.write_eof()

    def close(self) -> None:
        """Send what is under way and close; what the client still says does not matter."""
        if not self._closed:
            self._say_all()
            self._closed = True
            self._socket.close()

    def _say_all(self) -> None:
        if self._tls is not None and not self._said_all:
            self._said_all = True
            with suppress(ssl.SSLError):  # it would wait for the client's last word, and may find other words
                self._tls.unwrap()
            self._flush()

    def abort(self) -> None:
        """Close at once; what has not left is lost."""
        self._closed = True
        self._socket.abort()
