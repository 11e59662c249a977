"""A mock cloud provider with a services API: `python -m tests.support.services_api [PORT] [INSTANCES]`.

One thread, HTTP/1.0, on `::`, as those that users have; what is wrong with it is said by `faults`.
"""

import http.server
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

SERVICES = ("PermissionsService", "AuthService", "MLService", "StorageService", "TimeService", "GeoService")
LIST = "/servers"


class Fault(NamedTuple):
    """What a path answers instead."""

    body: bytes | None = None
    status: int = 200
    delay: float = 0.0
    """Seconds before anything is said."""
    reset: bool = False
    hang: bool = False
    """Say nothing until the server ends."""
    cut: bool = False
    """Announce more than is sent."""
    garbage: bytes | None = None
    """Send this as it is."""


def instance(cpu: str = "61%", service: str = "UserService", memory: str = "4%") -> dict[str, object]:
    return {"cpu": cpu, "service": service, "memory": memory}


def fleet(count: int = 150) -> dict[str, dict[str, object]]:
    """Return so many instances, their values made of their place."""
    return {
        f"10.58.{1 + place // 250}.{1 + place % 250}": instance(
            f"{place * 7 % 101}%", SERVICES[place % len(SERVICES)], f"{place * 3 % 74}%"
        )
        for place in range(count)
    }


class MockApi(http.server.HTTPServer):
    """The server; `instances` and `faults` (by path) may change while it runs."""

    address_family = socket.AF_INET6

    def __init__(self, instances: Mapping[str, Mapping[str, object]], faults: Mapping[str, Fault], port: int) -> None:
        self.instances = dict(instances)
        self.faults = dict(faults)
        self.requests: list[str] = []
        self.ended = threading.Event()
        super().__init__(("::", port), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away: tests do that."""

    def answer(self, path: str) -> tuple[int, bytes]:
        if path == LIST:
            return 200, json.dumps(list(self.instances)).encode()
        found = self.instances.get(path[1:])
        return (400, b'{"error":"Invalid IP"}') if found is None else (200, json.dumps(found).encode())


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MockApi

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        fault = self.server.faults.get(self.path, Fault())
        time.sleep(fault.delay)
        if fault.hang:
            self.server.ended.wait(60)
        elif fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # at once: the server itself would say farewell first
        elif fault.garbage is not None:
            self.wfile.write(fault.garbage)
        else:
            status, body = self.server.answer(self.path)
            self._send(
                fault.status if fault.status != 200 else status, body if fault.body is None else fault.body, fault
            )

    def _send(self, status: int, body: bytes, fault: Fault) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if fault.cut:
            self.send_header("Content-Length", str(len(body) + 10))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class ThreadedMockApi(socketserver.ThreadingMixIn, MockApi):
    """The same with a thread for each request: one that hangs does not hold the others up."""

    daemon_threads = True
    request_queue_size = 128


@contextmanager
def services_api(
    instances: Mapping[str, Mapping[str, object]] | None = None,
    faults: Mapping[str, Fault] | None = None,
    *,
    threads: bool = False,
) -> Iterator[MockApi]:
    """Run a mock on a free port."""
    kind = ThreadedMockApi if threads else MockApi
    server = kind(fleet() if instances is None else instances, faults or {}, 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


if __name__ == "__main__":
    port, count = (int(text) for text in (*sys.argv[1:], *("8080", "150")[len(sys.argv) - 1 :]))
    with MockApi(fleet(count), {}, port) as running:
        print(f"{count} instances at http://[::1]:{running.port}{LIST}")
        running.serve_forever()
