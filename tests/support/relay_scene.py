"""A relay with something to see on its page; `python -m tests.support.relay_scene docs/relay.png` takes its picture."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.browser import Browser
from tests.support.fake_fleet import EVIDENCE, FakeFleet
from tests.support.fake_slack import TOKEN, FakeSlack, Fault
from tests.support.relay import RelayProcess, alert, payload, resolved, until

_DISK = {"severity": "warning", "mountpoint": "/data", "environment": "production"}
_STORY = {
    "summary": "/data on db-01 is 93 % full",
    "description": "6.1 GB of 86 GB left; at this pace it is full in 9 hours.",
    "dashboard_url": "https://grafana.example.com/d/host?var-instance=db-01",
}


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[RelayProcess]:
    """Yield a relay that has delivered a few stories and waits with another."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "slack-token"
    token.touch(0o600)
    token.write_text(TOKEN)
    outside = folder / "heartbeat-url"
    outside.touch(0o600)
    with FakeSlack(("#alerts", "#database")) as slack, FakeFleet() as fleet:
        outside.write_text(fleet.url)
        for instance in ("web-01:9100", "db-01:9100"):
            fleet.scrapes(instance)
        fleet.evidence = {**EVIDENCE, "sample": {"time": "", "timestamp_seconds": time.time() - 240}}
        slack_settings = {
            "token_file": str(token),
            "channel": "#alerts",
            "channels": [{"match": {"mountpoint": ".+"}, "channel": "#database"}],
            "api_url": slack.url,
            "burst": 20,
        }
        settings = {
            "external_url": "https://relay.example.com/",
            "slack": slack_settings,
            "evidence": {"prometheus_url": fleet.url},
            "watchdog": {"heartbeat_url_file": str(outside), "heartbeat_interval": 1},
        }
        with RelayProcess(folder, **settings) as relay:
            until(lambda: relay.get("/-/ready").status == 200)
            _tell(relay, slack)
            yield relay


def _ago(minutes: float) -> str:
    return datetime.fromtimestamp(time.time() - minutes * 60, UTC).isoformat()


def _tell(relay: RelayProcess, slack: FakeSlack) -> None:
    def told(*alerts: Any, group: str, **more: Any) -> None:
        assert relay.post(payload(*alerts, groupKey=group, **more)).status == 200
        until(lambda: relay.metric("relay_queue_depth") == 0)

    relay.post(payload(alert("Watchdog", labels={"severity": "none"})))
    until(lambda: relay.metric("relay_heartbeats_total") >= 1)
    latency = alert("ServiceDown", "api-03", labels={"severity": "critical"}, startsAt=_ago(50))
    latency["annotations"]["summary"] = "checkout on api-03 does not answer (refused)"
    latency["annotations"]["description"] = "The check has failed for 2 minutes."
    told(latency, group="service")
    told(resolved(latency, _ago(38)), group="service")
    disk = alert("HostDiskFull", "db-01:9100", labels=_DISK, annotations=_STORY, startsAt=_ago(12))
    told(disk, group="disk")
    until(lambda: relay.get("/api/v1/messages?group=disk").json["messages"][0]["thread"])
    told({**disk, "labels": {**disk["labels"], "severity": "critical"}}, group="disk")
    cpu = alert(labels={"environment": "production"}, startsAt=_ago(4))
    cpu["annotations"]["dashboard_url"] = "https://grafana.example.com/d/host?var-instance=web-01"
    told(cpu, group="cpu")
    until(lambda: relay.get("/api/v1/messages?group=cpu").json["messages"][0]["thread"])
    until(lambda: relay.metric("relay_queue_depth") == 0)
    slack.fault = lambda *_: Fault(status=429, retry_after=40, error="ratelimited")
    queue = alert("QueueGrows", "mq-01", labels={"severity": "info"}, startsAt=_ago(1))
    queue["annotations"] = {"summary": "The queue of mq-01 has grown for 30 minutes"}
    relay.post(payload(queue, groupKey="queue"))
    until(lambda: relay.get("/api/v1/status").json["slack"]["pauses"])


def main(file: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory(prefix="hostwatch-") as name:
        folder = Path(name)
        with scene(folder / "relay") as relay:
            url = f"http://127.0.0.1:{relay.port}/?refresh=off"
            Browser(folder / "chromium").screenshot(url, file.resolve(), 900, 1960)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
