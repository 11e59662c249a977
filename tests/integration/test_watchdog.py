"""The Watchdog with a real Alertmanager and the shipped route, its times scaled: it comes, stays away, and is back."""

import contextlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.exporter import ROOT
from tests.support.relay import RelayProcess, until
from tests.support.scaling import scale
from tests.support.stack import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.needs("alertmanager")]

# 2 minutes are 2 seconds
FACTOR = 60
RULES = yaml.safe_load((ROOT / "prometheus" / "rules" / "watchdog.yml").read_text())
(WATCHDOG,) = [rule for group in RULES["groups"] for rule in group["rules"]]


class Alertmanager:
    """The shipped configuration with its times scaled, this relay's address, and a free port."""

    def __init__(self, folder: Path, relay: RelayProcess) -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_ports()["alertmanager"]
        config = scale(yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text()), FACTOR)
        (webhook,) = config["receivers"][0]["webhook_configs"]
        webhook["url"] = f"http://127.0.0.1:{relay.port}/alertmanager"
        webhook["http_config"]["authorization"]["credentials_file"] = str(relay.token_file)
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        command = [
            "prometheus-alertmanager",
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]
        with (self.folder / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                yield
            finally:
                process.terminate()

    def send(self) -> bool:
        """Send what Prometheus sends for the shipped rule; say whether it was taken."""
        labels = {"alertname": WATCHDOG["alert"], **WATCHDOG["labels"]}
        body = json.dumps([{"labels": labels, "annotations": WATCHDOG["annotations"]}]).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v2/alerts", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def states(relay: RelayProcess) -> list[tuple[list[str], str]]:
    return [(one["alert_names"], one["status"]) for one in relay.messages()]


def test_it_comes_and_stays_away_and_is_back(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "relay", watchdog={"silent_after": 5}) as relay:
        alertmanager = Alertmanager(tmp_path / "alertmanager", relay)
        with alertmanager.running():
            until(alertmanager.send)
            until(lambda: relay.metric("relay_watchdogs_total") >= 3)
            assert relay.messages() == []
            assert relay.get("/-/ready").status == 200
        silent = [["AlertPipelineSilent"]]
        until(lambda: states(relay) == [(*silent, "firing")])
        assert "silent since" in relay.get("/-/ready").text
        with alertmanager.running():
            until(alertmanager.send)
            until(lambda: states(relay) == [(*silent, "resolved")])
        assert relay.metric("relay_watchdog_silent") == 0
