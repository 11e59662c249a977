"""An installation for the doctor: every part answers on loopback, healthy until a test breaks one."""

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

import yaml

from exporter import __version__
from exporter.doctor import Finding, Parts, examine
from exporter.doctor.files import Files
from exporter.doctor.place import Place
from tests.support.web_server import WebServer

PAGE = f"""\
host_exporter_build_info{{version="{__version__}"}} 1
host_exporter_settings_reload_successful 1
host_exporter_web_config_reload_successful 1
host_exporter_series_dropped_total{{collector="netdev"}} 0
node_scrape_collector_success{{collector="cpu"}} 1
node_scrape_collector_success{{collector="containers"}} 1
node_scrape_collector_success{{collector="nvme"}} 1
node_scrape_collector_success{{collector="timex"}} 1
node_textfile_scrape_error 0
node_timex_sync_status 1
host_ping_mode_info{{mode="datagram"}} 1
host_ping_mode_info{{mode="none"}} 0
host_process_scan_complete 1
host_process_group_hidden{{field="io",group="web"}} 0
"""

CONFIG = """\
route:
  receiver: relay
  routes:
    - matchers: [alertname = "Watchdog"]
      receiver: relay
receivers:
  - name: relay
    webhook_configs:
      - url: URL/alertmanager
        http_config: {authorization: {type: Bearer, credentials_file: /etc/hostwatch/relay-token}}
"""


def alert(name: str, **more: object) -> dict[str, object]:
    """Return a rule as Prometheus tells it."""
    return {"name": name, "type": "alerting", "query": "1", "health": "ok", "state": "inactive", "alerts": [], **more}


class Patient:
    """One HTTP server that is all parts at once; each has its own paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.page = PAGE
        self.status = 200
        self.delay = 0.0
        self.files = Files()
        self.given = True
        self.unreachable: set[str] = set()
        self.grafana_password: Any = None
        self.where: dict[str, Path] = {}
        """What is there that collectors need, by collector."""
        self._server = WebServer(_handler(self))
        self.port, self.url = self._server.port, self._server.url
        self.config: dict[str, Any] = yaml.safe_load(CONFIG.replace("URL", self.url))
        self.targets = [self._target()]
        self.vectors: dict[str, list[Any]] = {"vector(time())": []}
        self.skew = 0.0
        self.rules = [alert("Watchdog", state="firing"), alert("HostDown")]
        self.managers = [{"url": f"{self.url}/api/v2/alerts"}]
        self.relay: dict[str, Any] = {
            "mode": "slack",
            "version": __version__,
            "faults": [],
            "queue": {"snapshots": 0, "messages": 0, "threads": 0, "limit": 20000, "dead_letters": 0, "writable": True},
            "watchdog": {"expected": True, "fresh": True, "last_seen": "2026-01-01T00:00:00Z"},
            "slack": {"calls": {}, "errors": {}, "undeliverable": 0, "last_success": "2026-01-01T00:00:00Z"},
            "token": {"present": True, "ok": True, "text": "read from Vault"},
        }
        self.grafana: dict[str, Any] = {"database": "ok"}
        self.data_source: tuple[int, dict[str, Any]] = (200, {"status": "OK", "message": "Successfully queried"})

    def _target(self) -> dict[str, Any]:
        labels = {"instance": "localhost", "job": "node"}
        return {"labels": labels, "scrapeUrl": f"{self.url}/metrics", "health": "up", "lastError": ""}

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def place(self, part: str) -> Place:
        """Return where a part is: a closed port for one that is unreachable."""
        url = "http://127.0.0.1:1" if part in self.unreachable else self.url
        place = Place(url, self.given, 5.0)
        if part == "grafana" and self.grafana_password is not None:
            return place._replace(access=self.grafana_password)
        return place

    def examined(self) -> list[Finding]:
        """Return what the doctor finds."""
        names = ("exporter", "prometheus", "alertmanager", "relay", "grafana")
        return list(examine(Parts(self.files, *(self.place(name) for name in names))))

    def faults(self) -> list[Finding]:
        """Return what has to be mended."""
        return [one for one in self.examined() if one.verdict in {"warning", "problem"}]

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return what is answered at a path."""
        time.sleep(self.delay)
        if path == "/metrics":
            return self.status, self.page.encode()
        known: dict[str, Callable[[], object]] = {
            "/api/v1/targets": lambda: _success({"activeTargets": self.targets}),
            "/api/v1/rules": lambda: _success({"groups": [{"name": "all", "interval": 15, "rules": self.rules}]}),
            "/api/v1/alertmanagers": lambda: _success({"activeAlertmanagers": self.managers}),
            "/api/v2/status": lambda: {"config": {"original": yaml.safe_dump(self.config)}},
            "/api/v1/status": lambda: self.relay,
            "/api/health": lambda: self.grafana,
        }
        if path == "/api/v1/query":
            return 200, b""
        if path.startswith("/api/datasources/uid/"):
            return self.data_source[0], json.dumps(self.data_source[1]).encode()
        return (200, json.dumps(known[path]()).encode()) if path in known else (404, b"{}")

    def vector(self, query: str) -> bytes:
        """Return the answer of an instant query."""
        now = time.time() + self.skew
        found = next((result for part, result in self.vectors.items() if part in query and result), [])
        if "vector(time())" in query:
            found = [{"metric": {}, "value": [now, str(now)]}]
        return json.dumps(_success({"resultType": "vector", "result": found})).encode()


def _success(data: object) -> dict[str, object]:
    return {"status": "success", "data": data}


def _handler(patient: Patient) -> type[BaseHTTPRequestHandler]:
    from urllib.parse import parse_qs, urlsplit

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, body = patient.answer(parts.path)
            if parts.path == "/api/v1/query":
                body = patient.vector(parse_qs(parts.query)["query"][0])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
