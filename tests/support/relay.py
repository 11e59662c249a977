"""A relay in a child process, talked to with http.client; and payloads as Alertmanager sends them."""

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

TOKEN = "tok-canary-3f9a1c77d2"
ZERO = "0001-01-01T00:00:00Z"
START = "2026-11-20T15:06:21.207102602Z"

_CHILD = """
import sys, time, msgspec
real = time.time
def moved():
    try:
        with open(sys.argv[2]) as file:
            return real() + float(file.read() or 0)
    except OSError:
        return real()
time.time = moved
from exporter.relay.daemon import run
from exporter.relay.settings import Relay
hook = lambda kind, value: kind(value)
sys.exit(run(msgspec.convert(msgspec.json.decode(sys.argv[1]), Relay, dec_hook=hook)))
"""


def until(condition: Any, seconds: float = 15.0) -> Any:
    """Return the first true result of `condition`, asked until the deadline."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{condition} was not true within {seconds} s"
        time.sleep(0.01)
    return result


class Answer(msgspec.Struct):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RelayProcess:
    """`hostwatch relay` on a port of the kernel's choice. Use as a context manager."""

    def __init__(self, folder: Path, token: str = TOKEN, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.token_file, self.database, self.log_file = folder / "token", folder / "relay.db", folder / "relay.log"
        if not self.token_file.exists():
            self.token_file.touch(0o600)
            self.token_file.write_text(token + "\n")
        self.token = token
        self.settings = {
            "listen": "127.0.0.1:0",
            "token_file": str(self.token_file),
            "database": str(self.database),
            **settings,
        }
        self.port = 0
        self._clock_file = folder / "clock"

    def set_clock(self, seconds: float) -> None:
        """Move the relay's wall clock that far from the machine's."""
        self._clock_file.write_text(str(seconds))

    def __enter__(self) -> "RelayProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def start(self) -> None:
        self.spawn()
        before = self._marks
        until(lambda: self.process.poll() is not None or len(self._listening()) > before)
        assert self.process.poll() is None, self.log()
        self.port = int(self._listening()[-1])

    def spawn(self) -> None:
        self._marks = len(self._listening())
        log = open(self.log_file, "ab")  # noqa: SIM115 -- the child's
        command = [sys.executable, "-c", _CHILD, json.dumps(self.settings), str(self._clock_file)]
        self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=Path(__file__).parents[2])
        log.close()

    def _listening(self) -> list[str]:
        return re.findall(r'"relay listens".*?"port": (\d+)', self.log()) if self.log_file.exists() else []

    def log(self) -> str:
        return self.log_file.read_text()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines()]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def post(self, payload: Any, token: str | None = None) -> Answer:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self.request("POST", "/alertmanager", body, Authorization=f"Bearer {token or self.token}")

    def messages(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get("/api/v1/messages").json["messages"]
        return rows

    def metric(self, name: str) -> float:
        from prometheus_client.parser import text_string_to_metric_families

        label = re.fullmatch(r'(\w+)\{(\w+)="([^"]*)"\}', name)
        want = (label[1], {label[2]: label[3]}) if label else (name, {})
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                if (sample.name, sample.labels) == want:
                    return sample.value
        raise AssertionError(f"no sample {name}")


def alert(name: str = "HostCpuHigh", instance: str = "web-01:9100", **more: Any) -> dict[str, Any]:
    """Return one alert as Alertmanager sends it; `labels` and `annotations` are added to the usual ones."""
    labels = {"alertname": name, "instance": instance, "job": "node", "severity": "critical", **more.pop("labels", {})}
    annotations = {
        "summary": f"CPU of {instance} above 80% for 5 minutes",
        "description": f"CPU busy 93.4% on {instance}",
        "runbook_url": f"https://runbooks.example.com/{name}",
        **more.pop("annotations", {}),
    }
    return {
        "status": "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": START,
        "endsAt": ZERO,
        "generatorURL": "http://prom.example:9090/graph?g0.expr=x&g0.tab=1",
        "fingerprint": f"{name}/{sorted(labels.items())}",
        **more,
    }


def resolved(one: dict[str, Any], ends: str = "2026-11-20T15:18:40Z") -> dict[str, Any]:
    return {**one, "status": "resolved", "endsAt": ends}


def payload(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a webhook's body with these alerts."""
    alerts = alerts or (alert(),)
    name = alerts[0]["labels"].get("alertname", "")
    return {
        "receiver": "slack",
        "status": "firing" if any(one["status"] == "firing" for one in alerts) else "resolved",
        "alerts": list(alerts),
        "groupLabels": {"alertname": name},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{name}"}}',
        "truncatedAlerts": 0,
        **more,
    }


def owner_only(path: Path) -> bool:
    return (path.stat().st_mode & 0o777) == 0o600
