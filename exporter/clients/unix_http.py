"""HTTP/1.1 over a Unix socket: a question and its answer at a time, each with a deadline and a size limit.

http.client would bring the e-mail package, 4 MB; this reads with the parser that the server has loaded already.
"""

import socket
import time
from typing import Final, NamedTuple

import httptools

MAX_HEAD: Final = 65536
# a list of 2,000 containers takes 2 MB, of ones with many long labels ten times that
MAX_BODY: Final = 32 * 1024 * 1024
_CHUNK: Final = 65536


class HttpError(Exception):
    """What came is no whole answer, too large, or not in time."""


class Answer(NamedTuple):
    """One answer; the names of its headers in small letters."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Parser:
    """Takes bytes as they come and puts an answer together; nothing of it is trusted before it is whole."""

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._max_body = max_body
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self._head = 0
        self._messages = 0
        self._has_head = False
        self.is_complete = False
        self.keeps_open = False
        """Whether the connection can be used for another question."""
        self.status = 0
        """0 until the head is there."""

    def feed(self, data: bytes) -> None:
        """Take more bytes. Raises HttpError for what is no HTTP, too large, or more than one answer."""
        if not self._has_head:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as err:
            raise HttpError(f"no HTTP: {err}") from err
        if self._messages > 1:
            raise HttpError("more than one answer to a question")
        if self._size > self._max_body or (not self._has_head and self._head > MAX_HEAD):
            raise HttpError(f"over {self._max_body if self._has_head else MAX_HEAD} bytes")

    def end(self) -> None:
        """Take the end of the stream. Raises HttpError when it cuts the answer off."""
        told = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if not self.is_complete and (told or not self._has_head):
            raise HttpError("the answer was cut off" if self._head else "closed without an answer")
        self.is_complete = True

    def take(self) -> bytes:
        """Return the part of the body that came since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return data

    def answer(self) -> Answer:
        """Return the answer, once it is complete."""
        return Answer(self.status, self._headers, self.take())

    def close(self) -> None:
        """Let go of what came: this and the parser of httptools hold each other."""
        del self._parser
        self._parts.clear()

    # what httptools calls

    def on_message_begin(self) -> None:
        """Count the answers."""
        self._messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Note what kind of answer it is."""
        self.status = self._parser.get_status_code()
        self._has_head = True

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body, unless there is too much already."""
        self._size += len(data)
        if self._size <= self._max_body:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """Note the end."""
        self.keeps_open = self._parser.should_keep_alive()
        self.is_complete = True


def remaining(deadline: float) -> float:
    """Return the seconds left until a moment of time.monotonic(). Raises TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no answer in time")
    return seconds


class Connection:
    """A connection to a Unix socket, for one thread."""

    def __init__(self, path: str, deadline: float) -> None:
        """Connect. Raises OSError."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(remaining(deadline))
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self.is_open = True

    def send(self, target: str, deadline: float) -> None:
        """Ask for `target`, which must be escaped already. Raises OSError."""
        self._socket.settimeout(remaining(deadline))
        self._socket.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n".encode())

    def get(self, target: str, deadline: float) -> Answer:
        """Return the answer. The connection is closed when it is of no use any more.

        Blocks until the deadline at most. Raises HttpError and OSError.
        """
        parser = Parser()
        try:
            self.send(target, deadline)
            while not parser.is_complete:
                self._socket.settimeout(remaining(deadline))
                data = self._socket.recv(_CHUNK)
                if data:
                    parser.feed(data)
                else:
                    parser.end()
            answer = parser.answer()
        except (HttpError, OSError):
            self.close()
            raise
        finally:
            parser.close()
        if not parser.keeps_open:
            self.close()
        return answer

    def receive_now(self) -> bytes | None:
        """Return what has arrived, b"" at the end of the stream, None when there is nothing now. Raises OSError."""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(_CHUNK)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Close the connection."""
        self.is_open = False
        self._socket.close()

    def __del__(self) -> None:
        """Close the connection when its owner goes, as at a reload."""
        if hasattr(self, "_socket"):
            self._socket.close()
