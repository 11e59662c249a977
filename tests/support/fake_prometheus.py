"""A server that plays Prometheus' instant queries and list of targets, as it is told to."""

import http.server
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from exporter.clients.prometheus import Sample
from tests.support.web_server import WebServer


def host_sample(host: str, value: float, **more: str) -> Sample:
    """Return a series of a host of the job `node`."""
    return Sample({"job": "node", "instance": host, **more}, (1795276800.0, "NaN" if value != value else str(value)))


class FakePrometheus:
    """Use as a context manager; all may be changed at any time."""

    def __init__(self, answers: Mapping[str, Iterable[Sample]] | None = None) -> None:
        self.answers: dict[str, Iterable[Sample]] = dict(answers or {})
        """By the query's text."""
        self.failing: dict[str, str] = {}
        """Queries that Prometheus refuses, and its reason."""
        self.targets: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.authorization: list[str] = []
        self.delay = 0.0
        self.is_away = False
        """Hang up on whoever asks."""
        self._ended = threading.Event()
        self._server = WebServer(_handler(self))

    @property
    def url(self) -> str:
        return self._server.url

    def __enter__(self) -> "FakePrometheus":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.stop()

    def answer(self, path: str) -> tuple[int, object]:
        parts = urlsplit(path)
        self._ended.wait(self.delay)
        if parts.path == "/api/v1/targets":
            return 200, {"status": "success", "data": {"activeTargets": self.targets}}
        query = parse_qs(parts.query)["query"][0]
        self.asked.append(query)
        if query in self.failing:
            return 422, {"status": "error", "errorType": "execution", "error": self.failing[query]}
        rows = [{"metric": dict(one.labels), "value": list(one.value)} for one in self.answers.get(query, ())]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": rows}}


def _handler(fake: FakePrometheus) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.authorization.append(self.headers.get("Authorization", ""))
            if fake.is_away:
                return
            status, fields = fake.answer(self.path)
            body = json.dumps(fields).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
