"""What a handler of the exporter's HTTP server gets and gives."""

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

TEXT: Final = "text/plain; charset=utf-8"

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class Request(NamedTuple):
    """One request whose head is complete; a body, if any, was read and dropped."""

    method: str
    path: str
    query: str
    headers: Mapping[bytes, bytes]
    """Names in lower case; of a repeated header the last."""
    client: str
    """The client's address, without its port."""


class Channel(Protocol):
    """The open end of an answer without an end."""

    def send(self, data: bytes) -> bool:
        """Send more, all of it later than what went before; False, and nothing sent, while some of that is still here.

        So never more than one piece waits for a slow reader; one that takes none for `request_timeout` is dropped.
        """
        ...

    def end(self) -> None:
        """End the answer; its connection is closed."""
        ...


Lost = Callable[[], None]
Opened = Callable[[Channel], Lost]
"""Called once the head of such an answer was sent; what it returns is called once the connection is lost."""


class Response(NamedTuple):
    """What goes back; `headers` are whole lines without their ends."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[str, ...] = ()
    opened: Opened | None = None
    """Makes the body a beginning, to which more is sent until either side closes."""


FAILED: Final = Response(500, b"500: our fault, see the log\n")

# RFC 9110, 5.6.7: English, whatever the locale
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Reply = Callable[[Response], None]
Handler = Callable[[Request, Reply], None]
"""Answers a request by calling `Reply` once, now or in a later turn of the loop."""


class Routes:
    """The handlers by path. GET and HEAD only: anything else is 405, an unknown path 404.

    What stands below a path, itself included, may have one handler that decides all that for itself.
    """

    def __init__(self, handlers: Mapping[str, Handler], below: Mapping[str, Handler] = MappingProxyType({})) -> None:
        self._handlers = dict(handlers)
        self._below = dict(below)

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer a request."""
        handler = self._handlers.get(request.path)
        if handler is None and (above := self._above(request.path)) is not None:
            above(request, reply)
        elif handler is None:
            known = " ".join(self._handlers)
            reply(Response(404, f"404: nothing at {request.path[:200]}; there is {known}\n".encode()))
        elif request.method not in {"GET", "HEAD"}:
            reply(Response(405, b"405: only GET and HEAD\n", headers=("Allow: GET, HEAD",)))
        else:
            handler(request, reply)

    def _above(self, path: str) -> Handler | None:
        return next((handler for top, handler in self._below.items() if (path + "/").startswith(top + "/")), None)


class DateHeader:
    """The Date header: its day is rendered once a day, its time once a second."""

    def __init__(self) -> None:
        self._second = self._day = -1
        self._text = self._start = ""

    def at(self, now: float) -> str:
        """Return the header's line for the moment `now`, seconds since the epoch."""
        second = int(now)
        if second != self._second:
            day, rest = divmod(second, 86400)
            if day != self._day:
                utc = time.gmtime(second)
                month = _MONTHS[utc.tm_mon - 1]
                self._day = day
                self._start = f"Date: {_DAYS[utc.tm_wday]}, {utc.tm_mday:02d} {month} {utc.tm_year}"
            self._second = second
            self._text = f"{self._start} {rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d} GMT"
        return self._text


def head(response: Response, date: str, *, close: bool) -> bytes:
    """Return status line and headers, the empty line included."""
    phrase = _PHRASES.get(response.status, "")
    extra = "".join([line + "\r\n" for line in response.headers])
    last = "Connection: close\r\n\r\n" if close else "\r\n"
    # without a length the body ends with the connection (RFC 9112, 6.3)
    length = f"Content-Length: {len(response.body)}\r\n" if response.opened is None else ""
    return (
        f"HTTP/1.1 {response.status} {phrase}\r\n{date}\r\nContent-Type: {response.content_type}\r\n"
        f"{length}{extra}{last}"
    ).encode()
