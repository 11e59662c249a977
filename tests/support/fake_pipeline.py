"""Prometheus, Alertmanager and relay as far as a drill asks them, in one server: what fires is what a test says.

Every query has an answer, so that a drill finds its victims well at once, and its metric crossed.
"""

import http.server
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exporter.drills.faults import FAULTS
from tests.support.web_server import WebServer

ROUTE = "route: {receiver: relay, group_wait: 1s, group_interval: 1s}\nreceivers: [{name: relay}]\n"
WATCHDOG = {
    "labels": {"alertname": "Watchdog", "severity": "none"},
    "state": "firing",
    "activeAt": "2026-01-01T00:00:00Z",
}


class FakePipeline:
    """Use as a context manager; `alerts` and `messages` are what is told."""

    def __init__(self, targets: Path) -> None:
        self.targets = targets
        for job in ("node", "prometheus", "alertmanager", "relay"):
            (targets / job).mkdir(parents=True)
        self.alerts: list[dict[str, Any]] = [WATCHDOG]
        self.messages: list[dict[str, Any]] = []
        self.labels = {"job": "node", "instance": "localhost"}
        self.scrape_url = "http://127.0.0.1:10101/metrics"
        """Where that target is scraped."""
        self.external_labels: dict[str, str] = {}
        self.route = ROUTE

    def answer(self, path: str) -> Any:
        """Return what is answered to a path."""
        if path == "/api/v2/status":
            return {"config": {"original": self.route}, "versionInfo": {"version": "0.25.0"}}
        if path == "/api/v1/messages":
            return {"messages": self.messages}
        if path == "/api/v1/status":
            return {"mode": "preview", "version": "0"}
        return {"status": "success", "data": self._data(path.removeprefix("/api/v1/"))}

    def _data(self, path: str) -> Any:
        if path == "rules":
            names = {alert for fault in FAULTS for alert in fault.alerts}
            rules = [{"name": name, "type": "alerting", "query": "up == 0", "duration": 300} for name in sorted(names)]
            return {"groups": [{"name": "all", "interval": 1, "rules": rules}]}
        if path == "status/config":
            jobs = [
                {"job_name": job.name, "file_sd_configs": [{"files": [f"{job}/*.yml"]}]}
                for job in self.targets.iterdir()
            ]
            whole = {"scrape_interval": "1s", "external_labels": self.external_labels}
            return {"yaml": json.dumps({"global": whole, "scrape_configs": jobs})}
        if path == "targets":
            return {"activeTargets": [{"labels": self.labels, "scrapeUrl": self.scrape_url}]}
        if path == "alerts":
            return {"alerts": self.alerts}
        return {"resultType": "vector", "result": [{"metric": {}, "value": [0, "0.8"]}]}

    @property
    def url(self) -> str:
        return self._server.url

    def options(self, state: Path) -> list[str]:
        """Return what leads `hostwatch drill` here."""
        where = [f"--{part}={self.url}" for part in ("prometheus", "alertmanager", "relay")]
        return [*where, f"--state={state}", "--max-load=1000", "--docker=/nonexistent/docker.sock"]

    def __enter__(self) -> "FakePipeline":
        pipeline = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(pipeline.answer(urlsplit(self.path).path)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = WebServer(Handler)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
