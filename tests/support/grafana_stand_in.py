"""Stands in for Grafana's image: its port and health, and what the real one must find, as it finds it.

It runs in a container without anything but Python: `python -m tests.support.grafana_stand_in`.
"""

import configparser
import http.server
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def found() -> dict[str, Any]:
    """Return what Grafana would read, as it would find it. Raises OSError where a file is missing or not to be read."""
    settings = configparser.ConfigParser(interpolation=None)
    with open("/etc/grafana/grafana.ini") as file:
        settings.read_file(file)
    password_file = settings["security"]["admin_password"].removeprefix("$__file{").removesuffix("}")
    Path("/var/lib/grafana/grafana.db").touch()  # on a root that is read-only the data must not be
    return {
        "user": settings["security"]["admin_user"],
        "password_length": len(Path(password_file).read_text()),
        "datasources": Path("/etc/grafana/provisioning/datasources/hostwatch.yml").read_text(),
        "dashboards": Path("/etc/grafana/provisioning/dashboards/hostwatch.yml").read_text(),
        "boards": {str(path): json.loads(path.read_text()) for path in Path("/etc/grafana/dashboards").glob("*.json")},
        "uid": os.getuid(),
    }


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"database": "ok"} if self.path == "/api/health" else found()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    found()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 of a container has no other way
    http.server.ThreadingHTTPServer(("", 3000), Handler).serve_forever()
