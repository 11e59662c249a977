"""A web service that fails now and then: `python -m compose.demo.web [PORT]`.

Out of every five minutes it answers 503 for one and a half, and takes 700 ms for half a minute.
"""

import http.server
import json
import sys
import time
from collections.abc import Callable
from typing import Final

PERIOD_SECONDS: Final = 300.0
FAILS_FROM: Final = 120.0
FAILS_UNTIL: Final = 210.0
SLOW_FROM: Final = 250.0
SLOW_UNTIL: Final = 280.0


def behaviour(seconds: float) -> tuple[int, float]:
    """Return status and delay in seconds for a moment counted from the start."""
    at = seconds % PERIOD_SECONDS
    return (503 if FAILS_FROM <= at < FAILS_UNTIL else 200), (0.7 if SLOW_FROM <= at < SLOW_UNTIL else 0.0)


def make_handler(clock: Callable[[], float] = time.monotonic) -> type[http.server.BaseHTTPRequestHandler]:
    """Return the handler of a service that starts now."""
    began = clock()

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            """Answer /health as the moment has it."""
            status, delay = behaviour(clock() - began)
            time.sleep(delay)
            body = json.dumps({"status": "up" if status == 200 else "failing"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: who asks is a probe, every few seconds."""

    return Handler


if __name__ == "__main__":
    _port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    http.server.ThreadingHTTPServer(("", _port), make_handler()).serve_forever()
