"""Many scrapers at once, from one process: each asks again as soon as it has its answer."""

import select
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from bench import page
from bench.access import HOST, OPEN, TIMEOUT_SECONDS
from bench.answer import AnswerReader
from bench.failures import BenchError

CHECK_SECONDS: Final = 0.5
"""So often the next answer is decompressed and judged as a whole."""


@dataclass
class LoadResult:
    """What came of one block of load. Times are in seconds."""

    good: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    client_cpu: float = 0.0
    """CPU time of the load generator."""


class _Connection:
    __slots__ = ("reader", "sent", "socket")

    def __init__(self, port: int) -> None:
        self.reader = AnswerReader()
        self.sent = 0.0
        self.socket = socket.create_connection((HOST, port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)  # noqa: FBT003 -- the library's own signature


class Load:
    """A run of `connections` scrapers against one server; `least_bytes` is what a whole answer has at the least."""

    def __init__(self, port: int, connections: int, least_bytes: int) -> None:
        self._port = port
        self._request = OPEN.request(port)
        self._least_bytes = least_bytes
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._count = connections
        self._result = LoadResult()
        self._check_at = 0.0

    def run(self, seconds: float) -> LoadResult:
        """Scrape for that long; answers that come later do not count."""
        try:
            for _ in range(self._count):
                self._open()
            # connecting is not measured; the answers that come meanwhile are few and count for every server alike
            cpu, start = time.process_time(), time.perf_counter()
            self._turn(start + seconds)
            self._result.seconds = time.perf_counter() - start
            self._result.client_cpu = time.process_time() - cpu
            self._count_silent()
        finally:
            self._epoll.close()
            for connection in self._connections.values():
                connection.socket.close()
        return self._result

    def _open(self) -> None:
        connection = _Connection(self._port)
        self._connections[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket, select.EPOLLIN)
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        connection.reader.reset()
        connection.sent = time.perf_counter()
        # some 300 bytes into an empty buffer: it takes them whole
        connection.socket.send(self._request)

    def _turn(self, deadline: float) -> None:
        poll, connections = self._epoll.poll, self._connections
        while (left := deadline - time.perf_counter()) > 0:
            for fd, _events in poll(left):
                connection = connections[fd]
                try:
                    data = connection.socket.recv(262144)
                    if data and connection.reader.feed(data):
                        self._take(connection)
                        self._send(connection)
                except (BenchError, OSError) as err:
                    self._replace(connection, str(err))
                    continue
                if not data:
                    self._replace(connection, "hung up")

    def _take(self, connection: _Connection) -> None:
        now = time.perf_counter()
        reader, result = connection.reader, self._result
        if reader.status != 200:
            result.errors[f"status {reader.status}"] += 1
            return
        if reader.wire_bytes < self._least_bytes:
            result.errors["short answer"] += 1
            return
        if now >= self._check_at:
            self._check_at = now + CHECK_SECONDS
            page.check(reader.answer(), now - connection.sent)
        result.good += 1
        result.latencies.append(now - connection.sent)

    def _replace(self, connection: _Connection, why: str) -> None:
        self._result.errors[why] += 1
        del self._connections[connection.socket.fileno()]
        connection.socket.close()
        self._open()

    def _count_silent(self) -> None:
        now = time.perf_counter()
        if silent := sum(now - c.sent > TIMEOUT_SECONDS for c in self._connections.values()):
            self._result.errors["no answer in time"] += silent
