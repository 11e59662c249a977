"""A server that plays Prometheus' list of targets, an exporter's evidence and an address outside, as it is told to."""

import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.support.web_server import WebServer

EVIDENCE = {
    "at": "2026-11-20T15:06:21Z",
    "sample": {"time": "2026-11-20T15:06:20Z", "timestamp_seconds": 1795187180.0},
    "host": {"cpu_usage_ratio": 0.973, "memory_usage_ratio": 0.91, "swap_usage_ratio": 0.25},
    "filesystems": [{"mountpoint": "/", "usage_ratio": 0.4}, {"mountpoint": "/data", "usage_ratio": 0.93}],
    "latency": [
        {"target": "db-01", "latency_seconds": 0.24, "loss_ratio": 0.2},
        {"target": "db-02", "loss_ratio": 1.0},
        {"target": "gw", "latency_seconds": 0.001, "loss_ratio": 0.0},
    ],
    "services": [{"check": "web", "kind": "http", "up": False}],
    "processes": [
        {
            "name": "stress-ng-cpu",
            "processes": 2,
            "cpu_cores": 1.98,
            "resident_bytes": 12_000_000,
            "read_bytes_per_second": 0.0,
            "written_bytes_per_second": 10.0,
        },
        {
            "name": "postgres",
            "processes": 12,
            "cpu_cores": 0.31,
            "resident_bytes": 3_435_973_836,
            "read_bytes_per_second": 2_000_000.0,
            "written_bytes_per_second": 13_000_000.0,
        },
        {"name": "sshd", "processes": 1, "cpu_cores": 0.0, "resident_bytes": 9_000_000},
        {"name": "python3", "processes": 1, "cpu_cores": 1.0, "resident_bytes": 250_000_000},
    ],
    "containers": [
        {"name": "web", "image": "web:1", "cpu_cores": 1.2, "memory_bytes": 700_000_000},
        {"name": "idle", "image": "idle:1"},
    ],
}


class Asked(msgspec.Struct):
    """One request as it came."""

    path: str
    query: dict[str, str]
    authorization: str


class FakeFleet:
    """Use as a context manager; `answer` may be changed at any time."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.targets: list[dict[str, Any]] = []
        self.evidence: Any = EVIDENCE
        self.status = 200
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.drip: float | None = None
        """Seconds between two bytes of an answer."""
        self.raw: bytes | None = None
        self.password = ""
        """When set, the Authorization header that is wanted."""
        self.released = threading.Event()
        self._server = WebServer(_handler(self), tls=tls)

    @property
    def url(self) -> str:
        return self._server.url

    def scrapes(self, instance: str, job: str = "node", path: str = "/metrics", **more: Any) -> None:
        """Add a target that is this server."""
        labels = {"instance": instance, "job": job}
        self.targets.append({"labels": labels, "scrapeUrl": self.url + path, "health": "up", **more})

    def count(self, path: str) -> int:
        return sum(one.path == path for one in self.asked)

    def __enter__(self) -> "FakeFleet":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.stop()

    def body(self, path: str) -> bytes:
        if self.raw is not None:
            return self.raw
        if path.endswith("/api/v1/targets"):
            return json.dumps({"status": "success", "data": {"activeTargets": self.targets}}).encode()
        return json.dumps(self.evidence).encode()


def _handler(fleet: FakeFleet) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            authorization = self.headers.get("Authorization", "")
            fleet.asked.append(Asked(parts.path, query, authorization))
            fleet.released.wait(fleet.delay)
            denied = fleet.password and authorization != fleet.password
            body = b"" if denied else fleet.body(parts.path)
            self.send_response(401 if denied else fleet.status)
            for name, value in fleet.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self._send(body, self.wfile.write)

        def _send(self, body: bytes, write: Callable[[bytes], Any]) -> None:
            if fleet.drip is None:
                write(body)
                return
            for byte in body:
                if fleet.released.is_set():
                    return
                write(bytes([byte]))
                time.sleep(fleet.drip)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
