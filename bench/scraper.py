"""One scraper with a kept-open connection that asks as Prometheus 2.42 does."""

import ssl
import time

from bench.access import OPEN, TIMEOUT_SECONDS, Access
from bench.answer import Answer, AnswerReader
from bench.failures import BenchError


class Scraper:
    """Scrapes one server, one request at a time; connects when it is made and again when the server hung up idle."""

    def __init__(self, port: int, access: Access = OPEN) -> None:
        self._port = port
        self._access = access
        self._request = access.request(port)
        self._reader = AnswerReader()
        self._socket = access.connect(port)

    def scrape(self) -> Answer:
        """Return the next answer. Raises BenchError unless it is complete, in time, and its status 200."""
        try:
            complete = self._ask()
        except ConnectionError:
            complete = False
        if not complete:  # hung up between two requests, as every server may: once more on a new connection
            self.close()
            self._socket = self._access.connect(self._port)
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
            except (BlockingIOError, ssl.SSLWantReadError) as err:  # what SO_RCVTIMEO gives, and TLS makes of it
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
