"""Two real Alertmanagers that both deliver: one message, each change told once, whichever of them is killed."""

import http.client
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import until
from tests.support.fake_slack import TOKEN, FakeSlack
from tests.support.peer import fetch, free_port
from tests.support.relay import RelayProcess

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "alertmanager")]

CONFIG = """
route:
  receiver: relay
  group_by: [alertname, instance]
  group_wait: 200ms
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: relay
    webhook_configs:
      - url: http://127.0.0.1:{port}/alertmanager
        send_resolved: true
        http_config:
          authorization:
            credentials_file: {token}
"""


class Alertmanager:
    """One real Alertmanager, of a cluster or alone."""

    def __init__(self, folder: Path, config: Path, peer: "Alertmanager | None" = None) -> None:
        self.port, self.cluster_port = free_port(), free_port()
        folder.mkdir()
        self._command = [
            "prometheus-alertmanager",
            f"--config.file={config}",
            f"--storage.path={folder}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--cluster.listen-address=127.0.0.1:{self.cluster_port}",
            f"--cluster.advertise-address=127.0.0.1:{self.cluster_port}",
            "--cluster.peer-timeout=500ms",
            "--cluster.settle-timeout=1s",
            "--cluster.gossip-interval=50ms",
            "--cluster.pushpull-interval=1s",
        ]
        if peer is not None:
            self._command.append(f"--cluster.peer=127.0.0.1:{peer.cluster_port}")
        self._log = folder / "log"
        self.start()

    def start(self) -> None:
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until(self._is_ready, "Alertmanager is ready", seconds=20)

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/-/ready") == 200
        except OSError:
            assert self.process.poll() is None, self._log.read_text()
            return False

    def failed(self) -> bool:
        """Whether it has tried to notify in vain."""
        page = fetch(f"http://127.0.0.1:{self.port}/metrics").decode()
        name = 'alertmanager_notification_requests_failed_total{integration="webhook"} '
        return any(line.startswith(name) and float(line.split()[1]) > 0 for line in page.splitlines())

    def ask(self, method: str, path: str, body: Any = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)


class Prometheus:
    """What Prometheus does: sends what fires to every Alertmanager again and again, and what ended for a while."""

    def __init__(self, alertmanagers: list[Alertmanager]) -> None:
        self._alertmanagers = alertmanagers
        self._alerts: dict[str, dict[str, Any]] = {}

    def set(self, name: str, *, firing: bool) -> None:
        now = datetime.now(UTC)
        alert = self._alerts.get(name)
        if firing:
            labels = {"alertname": name, "instance": "web-01", "severity": "critical"}
            self._alerts[name] = {"labels": labels, "startsAt": now.isoformat()}
        elif alert is not None:
            alert["endsAt"] = now.isoformat()
        self.send()

    def send(self) -> None:
        """Send the state of now."""
        ahead = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
        alerts = [{"endsAt": ahead, **alert} for alert in self._alerts.values()]
        for one in self._alertmanagers:
            try:
                assert one.ask("POST", "/api/v2/alerts", alerts) == 200
            except OSError:
                continue


@contextmanager
def cluster(folder: Path, relay: RelayProcess, port: int) -> Iterator[list[Alertmanager]]:
    """Yield two Alertmanagers that know each other and send to the relay's port."""
    config = folder / "alertmanager.yml"
    config.write_text(CONFIG.format(port=port, token=relay.token_file))
    with ExitStack() as stack:
        first = Alertmanager(folder / "a", config)
        stack.callback(first.stop)
        second = Alertmanager(folder / "b", config, first)
        stack.callback(second.stop)
        yield [first, second]


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as one:
        yield one


def test_one_message_although_both_deliver_and_one_is_killed(tmp_path: Path, slack: FakeSlack) -> None:
    port = free_port()
    token = tmp_path / "slack-token"
    token.touch(0o600)
    token.write_text(TOKEN)
    settings = {"token_file": str(token), "channel": "#alerts", "api_url": slack.url, "retry_after": 0.05}
    fast = {"posts_per_second": 100, "posts_per_minute": 6000, "updates_per_minute": 6000}
    relay = RelayProcess(tmp_path / "relay", listen=f"127.0.0.1:{port}", slack=settings | fast)
    with cluster(tmp_path, relay, port) as alertmanagers:
        prometheus = Prometheus(alertmanagers)
        prometheus.set("One", firing=True)
        # nobody listens yet: both try again and again, and both deliver once somebody does
        until(lambda: all(one.failed() for one in alertmanagers), "both have tried", seconds=20)
        with relay:
            until(slack.roots, "the message", seconds=20)
            until(lambda: relay.metric("relay_snapshots_stored_total") >= 2, "a copy has come", seconds=20)
            until(lambda: relay.metric("relay_queue_depth") == 0, "all is told", seconds=20)
            assert len(slack.roots()) == 1
            alertmanagers[0].kill()
            prometheus.set("One", firing=False)
            until(lambda: "RESOLVED" in slack.roots()[0].text, "the other one tells the end", seconds=20)
            prometheus.set("Two", firing=True)
            until(lambda: len(slack.roots()) == 2, "and what comes next", seconds=20)
            # else a copy would be right: nobody could know whether Slack had taken the message
            until(lambda: relay.metric("relay_queue_depth") == 0, "all is told", seconds=20)
            relay.kill()
            prometheus.set("Two", firing=False)
            alertmanagers[0].start()
            prometheus.send()
            relay.start()
            until(lambda: "RESOLVED" in slack.roots()[-1].text, "after a crash of both", seconds=30)
            until(lambda: relay.metric("relay_queue_depth") == 0, "all is told", seconds=20)
            assert [("RESOLVED" in root.text) for root in slack.roots()] == [True, True]
            told = [line.text for root in slack.roots() for line in slack.thread(root)]
            assert len(told) == len(set(told)), told
            assert not slack.copies()
