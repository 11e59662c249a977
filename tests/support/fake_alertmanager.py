"""A server that plays Alertmanager's status and list of alerts, as it is told to."""

import http.server
import json
from typing import Any, Final

from tests.support.web_server import WebServer

START: Final = "2026-11-20T15:00:00.000Z"
CONFIG: Final = "route:\n  receiver: relay\n  group_interval: 1m\n"


class FakeAlertmanager:
    """Use as a context manager; all may be changed at any time."""

    def __init__(self) -> None:
        self.known: list[dict[str, Any]] = []
        """Alerts as /api/v2/alerts shows them."""
        self.start, self.config = START, CONFIG
        self.answers: dict[str, tuple[int, bytes]] = {}
        """What is answered in place of the truth, by path."""
        self.cut: set[str] = set()
        """Paths whose answer breaks off half-way."""
        self.asked: list[str] = []
        self.authorization: list[str] = []
        self._server = WebServer(_handler(self))

    @property
    def url(self) -> str:
        return self._server.url

    def knows(self, *alerts: dict[str, Any], state: str = "active") -> None:
        """Know these alerts, made by tests.support.relay.alert, and no others."""
        self.known = [
            {
                **{key: one[key] for key in ("labels", "annotations", "startsAt", "fingerprint")},
                "endsAt": "2030-01-01T00:00:00Z",
                "receivers": [{"name": "slack"}],
                "status": {"state": state, "silencedBy": ["x"] if state == "suppressed" else [], "inhibitedBy": []},
            }
            for one in alerts
        ]

    def __enter__(self) -> "FakeAlertmanager":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def answer(self, path: str) -> tuple[int, bytes]:
        if path in self.answers:
            return self.answers[path]
        if path == "/api/v2/alerts":
            return 200, json.dumps(self.known).encode()
        status = {
            "cluster": {"status": "ready"},
            "config": {"original": self.config},
            "uptime": self.start,
            "versionInfo": {"version": "0.28.1"},
        }
        return (200, json.dumps(status).encode()) if path == "/api/v2/status" else (404, b"")


def _handler(fake: FakeAlertmanager) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            fake.asked.append(path)
            fake.authorization.append(self.headers.get("Authorization", ""))
            code, body = fake.answer(path)
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if path in fake.cut else body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
