"""A cloud provider's services API to look at: `python -m compose.demo.services_api [PORT]`.

`GET /servers` lists 150 instances, `GET /ADDRESS` tells what one uses. Values wander, and each service in turn has a
bad minute in which its instances are near their limits.
"""

import http.server
import json
import math
import sys
import time
from typing import Final

SERVICES: Final = ("AuthService", "GeoService", "MLService", "StorageService", "TicketService", "UserService")
INSTANCES: Final = tuple(f"10.58.1.{number}" for number in range(1, 151))
BAD_SECONDS: Final = 60.0


def instance(place: int, seconds: float) -> dict[str, str]:
    """Return what the instance in that place uses at a moment, as the API words it."""
    service = place % len(SERVICES)
    wave = math.sin(seconds / 97 + place * 1.7)
    is_bad = int(seconds / BAD_SECONDS) % len(SERVICES) == service
    cpu = 88 + 8 * wave if is_bad else 38 + 25 * wave
    memory = 42 + 20 * math.sin(seconds / 311 + place)
    return {"cpu": f"{cpu:.0f}%", "service": SERVICES[service], "memory": f"{memory:.0f}%"}


class Handler(http.server.BaseHTTPRequestHandler):
    """One request at a time, as such servers are."""

    timeout = 10.0

    def do_GET(self) -> None:
        """Answer the list, an instance, or 400."""
        address = self.path.removeprefix("/")
        if self.path == "/servers":
            self._send(200, INSTANCES)
        elif address in INSTANCES:
            self._send(200, instance(INSTANCES.index(address), time.time()))
        else:
            self._send(400, {"error": "Invalid IP"})

    def _send(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the list is asked for every half minute, and so is each instance."""


if __name__ == "__main__":
    http.server.HTTPServer(("", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Handler).serve_forever()
