"""HTTP as calls to Slack need it: a deadline for the whole of a call, an end of the answer, and no redirects.

urllib's time limit is one for each read only, and its redirects would carry the token away. The proxy of the
environment is used, as slack_sdk does.
"""

import http.client
import urllib.request
from email.message import Message
from typing import Final, NamedTuple

from exporter.relay.deadline import Deadline, cover

# Slack's answer repeats the message: 40,000 characters and as many in blocks at the most, each up to 12 bytes as JSON
MAX_ANSWER: Final = 4 * 1024 * 1024


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
    with Deadline(seconds) as deadline:
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


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        cover(self.sock)


class _TlsConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        cover(self.sock)

    def _tunnel(self) -> None:
        cover(self.sock)  # a proxy's answer may drip as well
        super()._tunnel()  # type: ignore[misc]  # typeshed leaves it out


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_TlsConnection, req)
