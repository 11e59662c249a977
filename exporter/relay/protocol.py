"""uvicorn's HTTP protocol with the limits it lacks: size and time of the headers, time of a request, connections.

It leans on uvicorn's insides (`transport`, `loop`, `connections`, the parser's callbacks); the tests of this module
fail when an upgrade changes them.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporter.relay.settings import RelayHttp

_TOO_LARGE = b"the headers are larger than this relay takes"
_TOO_LARGE_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_TOO_LARGE), _TOO_LARGE)
)


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `limits` is set by `limited`."""

    limits: RelayHttp

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- uvicorn's, passed on
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0  # received since the last request ended, while its headers are not complete
        self._in_head = True
        self._ended_in_this = False
        self._refused = False
        self._quiet_since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; when there are too many, the one that has been quiet longest makes room."""
        if len(self.connections) >= self.limits.max_connections and not self._make_room():
            transport.abort()
            self._refused = True
        super().connection_made(transport)
        self._arm(self.limits.header_timeout)

    def _make_room(self) -> bool:
        quiet = [c for c in self.connections if isinstance(c, LimitedProtocol) and c.is_quiet()]
        if not quiet:
            return False
        oldest = min(quiet, key=lambda connection: connection._quiet_since)  # noqa: SLF001 -- our own class
        oldest.transport.abort()
        self.connections.discard(oldest)
        return True

    def is_quiet(self) -> bool:
        """Say whether no request is being worked on."""
        return self.cycle is None or self.cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to headers before it is parsed: the parser itself would hold any amount."""
        if self._refused:
            return
        if self.is_quiet() and self._timer is None:
            # also for empty lines before a request, for which the parser calls nothing
            self._arm(self.limits.header_timeout)
        self._ended_in_this = False
        super().data_received(data)
        # data that ended a request holds its body too, and at most the beginning of the next one's headers
        if self._in_head and not self._ended_in_this and not self._refused:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.header_bytes:
                self._refuse()

    def on_headers_complete(self) -> None:
        """Start the request, if its headers are within the limit."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._refused or size > self.limits.header_bytes:
            self._refuse()
            return
        self._in_head, self._head_bytes = False, 0
        self._arm(self.limits.request_timeout)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's body; headers may follow."""
        self._in_head = self._ended_in_this = True
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """End a request; the connection may wait for the next one, or must get its last bytes out soon."""
        self._disarm()
        self._quiet_since = self.loop.time()
        if self.transport.is_closing():
            self._arm(self.limits.header_timeout)
        super().on_response_complete()
        if not self.is_quiet():  # the next of several requests that came at once
            self._arm(self.limits.request_timeout)

    def timeout_keep_alive_handler(self) -> None:
        """End a quiet connection, also one whose client does not read."""
        self.transport.abort()

    def _refuse(self) -> None:
        if self._refused:
            return
        self._refused = True
        if self.is_quiet():
            self.transport.write(_TOO_LARGE_ANSWER)
        self.transport.close()
        self._arm(self.limits.header_timeout)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def limited(limits: RelayHttp) -> type[LimitedProtocol]:
    """Return the protocol with these limits: uvicorn makes the instances itself."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})
