"""Who watches a pipeline from outside: a server that is called as long as all is well, and notes when."""

import http.server
import threading
import time

from tests.support.web_server import WebServer


class Outside:
    """Use as a context manager. Its address holds a secret path, as those of such services do."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._lock = threading.Lock()
        self._last = -float("inf")
        self._server = WebServer(_handler(self), host=host)
        self.secret = "ping-canary-5d20c1e7a94b"
        self.url = f"{self._server.url}/{self.secret}"

    def __enter__(self) -> "Outside":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def called(self) -> None:
        with self._lock:
            self._last = time.monotonic()

    @property
    def quiet_seconds(self) -> float:
        """How long nobody has called; endless before the first call."""
        with self._lock:
            return time.monotonic() - self._last


def _handler(outside: Outside) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == f"/{outside.secret}"
            if known:
                outside.called()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
