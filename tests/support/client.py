"""A client on a bare socket: sends what no library would, and reads what came back as it came."""

import socket
import time
from collections.abc import Callable
from typing import NamedTuple


class Answer(NamedTuple):
    """One HTTP answer, parsed strictly."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(port: int, *, timeout: float = 10.0, receive_buffer: int | None = None) -> socket.socket:
    """Return a connection to 127.0.0.1 whose every call ends within `timeout` seconds."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(timeout)
    try:
        sock.connect(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def request(target: str = "/metrics", *headers: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """Return a request's bytes; `headers` are whole lines."""
    return "".join(f"{line}\r\n" for line in (f"{method} {target} {version}", "Host: x", *headers, "")).encode(
        "latin-1"
    )


class Reader:
    """Reads answers off a socket, one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = b""

    def answer(self, *, head_only: bool = False) -> Answer:
        """Return the next answer; `head_only` for an answer to HEAD. Raises EOFError at the end of the stream."""
        while b"\r\n\r\n" not in self._data:
            self._more()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("ascii").split("\r\n")
        version, code, _phrase = status_line.split(" ", 2)
        assert version == "HTTP/1.1", status_line
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(headers) == len(lines), f"a header is there twice: {lines}"
        length = 0 if head_only else int(headers["content-length"])
        while len(self._data) < length:
            self._more()
        body, self._data = self._data[:length], self._data[length:]
        return Answer(int(code), headers, body)

    def rest(self) -> list[Answer]:
        """Return every answer up to the end of the stream, which the server has to bring about."""
        out = []
        while True:
            try:
                out.append(self.answer())
            except EOFError:
                assert not self._data, self._data[:200]
                return out

    def _more(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise EOFError
        self._data += data


def ask(port: int, data: bytes, *, timeout: float = 10.0, half_close: bool = False, head_only: bool = False) -> Answer:
    """Send `data` on a new connection and return the first answer."""
    with connect(port, timeout=timeout) as sock:
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        return Reader(sock).answer(head_only=head_only)


def scrape(port: int, *, timeout: float = 10.0) -> str:
    """Return the page of /metrics as text, fetched on a new connection."""
    answer = ask(port, request("/metrics", "Connection: close"), timeout=timeout)
    assert answer.status == 200, answer
    return answer.body.decode()


def rows(page: str) -> dict[str, float]:
    """Return the samples of a page: name with labels as written, and value."""
    lines = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
    return {key: float(value) for key, _, value in lines}


def until(condition: Callable[[], object], what: str, *, seconds: float = 10.0, every: float = 0.02) -> None:
    """Poll `condition` until it is true; fails naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(every)
