"""One scraper with a kept-open connection that asks as Prometheus 2.42 does."""

import socket
import struct
import time
from typing import Final

from bench.answer import Answer, AnswerReader
from bench.failures import BenchError

HOST: Final = "127.0.0.1"
TIMEOUT_SECONDS: Final = 10

_ACCEPT: Final = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def request(port: int) -> bytes:
    """Return the request that Prometheus sends, header by header in its order."""
    lines = (
        "GET /metrics HTTP/1.1",
        f"Host: {HOST}:{port}",
        "User-Agent: Prometheus/2.42.0",
        f"Accept: {_ACCEPT}",
        "Accept-Encoding: gzip",
        f"X-Prometheus-Scrape-Timeout-Seconds: {TIMEOUT_SECONDS}",
    )
    return "\r\n".join((*lines, "", "")).encode()


class Scraper:
    """Scrapes one server, one request at a time; connects when it is made and again when the server hung up idle."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._request = request(port)
        self._reader = AnswerReader()
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection((HOST, self._port), TIMEOUT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # a limit in the kernel: Python's own would cost a poll() around every call
        connection.settimeout(None)
        limit = struct.pack("ll", TIMEOUT_SECONDS, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        return connection

    def scrape(self) -> Answer:
        """Return the next answer. Raises BenchError unless it is complete, in time, and its status 200."""
        try:
            complete = self._ask()
        except ConnectionError:
            complete = False
        if not complete:  # hung up between two requests, as every server may: once more on a new connection
            self.close()
            self._socket = self._connect()
            if not self._ask():
                raise BenchError("the server hung up without an answer")
        answer = self._reader.answer()
        if answer.status != 200:
            raise BenchError(f"status {answer.status}: {answer.body[:200]!r}")
        return answer

    def _ask(self) -> bool:
        """Send the request and read to the end; False when the server hung up before the first byte."""
        reader, receive = self._reader, self._socket.recv
        reader.reset()
        self._socket.sendall(self._request)
        while True:
            try:
                data = receive(65536)
            except BlockingIOError as err:  # what SO_RCVTIMEO gives
                raise BenchError(f"no complete answer within {TIMEOUT_SECONDS} s") from err
            if not data:
                if reader.wire_bytes:
                    raise BenchError(f"the server hung up after {reader.wire_bytes} bytes of an answer")
                return False
            if reader.feed(data):
                return True

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def time_scrape(scraper: Scraper) -> tuple[float, Answer]:
    """Return how long one scrape took, in seconds, and its answer."""
    start = time.perf_counter()
    answer = scraper.scrape()
    return time.perf_counter() - start, answer
