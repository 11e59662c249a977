"""Prometheus and Alertmanager with the shipped configurations, their times scaled, on ports of their own.

Only the addresses differ from what is shipped, and how fast time goes (tests/support/scaling.py).
"""

import http.client
import json
import shutil
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support import debian13
from tests.support.peer import Exporter, fetch
from tests.support.scaling import scale_duration, scale_tree

ROOT: Final = Path(__file__).resolve().parents[2]
# programs of both Debian releases: 12's on PATH, 13's where `make test-packages` put them
RELEASES: Final = ("debian12", "debian13")
# what Prometheus and Alertmanager have as defaults of options, and what therefore no file scales
RESEND_DELAY: Final = "1m"
PEER_TIMEOUT: Final = "15s"


def program(name: str, release: str = "debian12") -> str:
    """Return the path of a program as a Debian release has it; just the name where it is not installed."""
    found = shutil.which(name) if release == "debian12" else debian13.find(name)
    return str(found or name)


class Configs:
    """A copy of prometheus/ and alertmanager/, with times divided by `factor` and no targets yet."""

    def __init__(self, folder: Path, factor: int = 1) -> None:
        self.folder, self.factor = folder, factor
        scale_tree(ROOT, folder, factor)
        for file in (folder / "prometheus" / "targets").glob("*/*.yml"):
            file.unlink()
        self.prometheus = folder / "prometheus" / "prometheus.yml"
        self.alertmanager = folder / "alertmanager" / "alertmanager.yml"

    def deliver_to(self, port: int, token_file: Path) -> None:
        """Send every webhook to a relay of ours."""
        config = yaml.safe_load(self.alertmanager.read_text())
        for hook in (hook for receiver in config["receivers"] for hook in receiver.get("webhook_configs", [])):
            hook["url"] = f"http://127.0.0.1:{port}{urllib.parse.urlsplit(hook['url']).path}"
            hook["http_config"]["authorization"]["credentials_file"] = str(token_file)
        self.alertmanager.write_text(yaml.safe_dump(config, sort_keys=False))

    def add_target(self, job: str, instance: str, port: int) -> None:
        """List a target, as an inventory does: the file is there whole or not at all."""
        file = self._target(job, instance)
        text = yaml.safe_dump([{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": instance}}])
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").replace(file)

    def remove_target(self, job: str, instance: str) -> None:
        self._target(job, instance).unlink()

    def scaled(self, duration: str) -> str:
        """Return a duration of an option, scaled like those of the files."""
        return scale_duration(duration, self.factor)

    def _target(self, job: str, instance: str) -> Path:
        return self.folder / "prometheus" / "targets" / job / f"{instance}.yml"


class Server(Exporter):
    """A server of Prometheus' family: ready when it says so, and asked for JSON."""

    def page(self) -> bytes:
        """Return something once it is ready; OSError before."""
        return fetch(f"http://127.0.0.1:{self.port}/-/ready")

    def get(self, path: str, **parameters: str) -> Any:
        """Return the JSON behind a path. Raises OSError."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return json.loads(fetch(f"http://127.0.0.1:{self.port}{path}{query}"))


class ShippedPrometheus(Server):
    """Prometheus with the shipped configuration and rules."""

    def __init__(self, configs: Configs, data: Path, *options: str, binary: str = "prometheus") -> None:
        self.command = (
            binary,
            "--web.listen-address=127.0.0.1:PORT",
            "--web.enable-lifecycle",
            "--log.level=warn",
            f"--config.file={configs.prometheus}",
            f"--storage.tsdb.path={data}",
            f"--rules.alert.resend-delay={configs.scaled(RESEND_DELAY)}",
            *options,
        )
        super().__init__()

    def value(self, expression: str) -> float | None:
        """Return the one value of an expression, None where it has none."""
        rows = self.get("/api/v1/query", query=expression)["data"]["result"]
        return float(rows[0]["value"][1]) if rows else None

    def alerts(self, state: str = "firing") -> list[dict[str, str]]:
        """Return the labels of what fires, or is pending."""
        return [one["labels"] for one in self.get("/api/v1/alerts")["data"]["alerts"] if one["state"] == state]

    def reload(self) -> int:
        """Have it read its configuration again; return the HTTP status."""
        return _post(self.port, "/-/reload")


class ShippedAlertmanager(Server):
    """Alertmanager with the shipped configuration, alone or in a cluster."""

    def __init__(
        self,
        configs: Configs,
        data: Path,
        *,
        peers: Sequence[int] = (),
        cluster_port: int = 0,
        binary: str = "prometheus-alertmanager",
    ) -> None:
        self.command = (
            binary,
            "--web.listen-address=127.0.0.1:PORT",
            "--log.level=warn",
            f"--config.file={configs.alertmanager}",
            f"--storage.path={data}",
            *_cluster(configs, peers, cluster_port),
        )
        super().__init__()

    def alerts(self) -> list[dict[str, Any]]:
        """Return what it knows to fire, muted or not."""
        found: list[dict[str, Any]] = self.get("/api/v2/alerts")
        return found

    def send(self, alerts: list[dict[str, Any]]) -> int:
        """Post alerts as Prometheus does; return the HTTP status."""
        return _post(self.port, "/api/v2/alerts", alerts)

    def reload(self) -> int:
        """Have it read its configuration again; return the HTTP status."""
        return _post(self.port, "/-/reload")


def _cluster(configs: Configs, peers: Sequence[int], port: int) -> list[str]:
    if not port:
        return ["--cluster.listen-address="]  # it would listen on every address for nobody
    return [
        f"--cluster.listen-address=127.0.0.1:{port}",
        f"--cluster.advertise-address=127.0.0.1:{port}",
        f"--cluster.peer-timeout={configs.scaled(PEER_TIMEOUT)}",
        "--cluster.settle-timeout=1s",
        "--cluster.gossip-interval=50ms",
        "--cluster.pushpull-interval=1s",
        *(f"--cluster.peer=127.0.0.1:{peer}" for peer in peers),
    ]


def _post(port: int, path: str, body: Any = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        data = None if body is None else json.dumps(body)
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
