"""HTTP as calls to Slack need it: a deadline for the whole of a call, an end of the answer, and no redirects.

urllib's time limit is one for each read only, and its redirects would carry the token away. The proxy of the
environment is used, as slack_sdk does.
"""

import contextlib
import http.client
import socket
import threading
import urllib.request
from contextvars import ContextVar
from email.message import Message
from typing import Final, NamedTuple, Self

# Slack's answer repeats the message: 40,000 characters and as many in blocks at the most, each up to 12 bytes as JSON
MAX_ANSWER: Final = 4 * 1024 * 1024

# of the call that is under way
_deadline: ContextVar["_Deadline"] = ContextVar("slack_deadline")


class TooLongError(Exception):
    """The answer is longer than any of Slack's."""


class Answer(NamedTuple):
    """An answer, whatever its status."""

    status: int
    headers: Message
    body: str


def exchange(request: urllib.request.Request, seconds: float, proxy: str | None) -> Answer:
    """Return the answer to a request. Blocks so many seconds at most, but for a look-up of the name.

    Raises TimeoutError, other errors of the connection, http.client.HTTPException and TooLongError.
    """
    opener = urllib.request.OpenerDirector()  # without handlers of errors and redirects
    for handler in (urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None), _Http(), _Https()):
        opener.add_handler(handler)
    with _Deadline(seconds) as deadline:
        try:
            with opener.open(request, timeout=seconds) as response:
                body = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException, ValueError):
            if not deadline.passed:
                raise
    if deadline.passed:  # else the body may have been cut
        raise TimeoutError
    if len(body) > MAX_ANSWER:
        raise TooLongError
    # JSON is UTF-8, whatever a charset says (RFC 8259, section 8.1)
    return Answer(response.status, response.headers, body.decode(errors="replace"))


class _Deadline:
    """Ends a call after so many seconds in all."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._token = _deadline.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _deadline.reset(self._token)

    def covers(self, connection: http.client.HTTPConnection) -> None:
        """Cut this connection too when the time is over."""
        self._sockets.append(connection.sock)
        if self.passed:
            self._cut()

    def _cut(self) -> None:
        self.passed = True
        for one in list(self._sockets):
            with contextlib.suppress(OSError):  # it is closed already
                # not TLS's own, which would let a read go on without it
                socket.socket.shutdown(one, socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _deadline.get().covers(self)


class _TlsConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _deadline.get().covers(self)

    def _tunnel(self) -> None:
        _deadline.get().covers(self)  # a proxy's answer may drip as well
        super()._tunnel()  # type: ignore[misc]  # typeshed leaves it out


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_TlsConnection, req)
