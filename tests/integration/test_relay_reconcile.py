"""One that ends while it is silenced: Alertmanager says nothing of it, and its message turns green all the same."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from exporter.relay.lines import ENDED_UNSAID
from tests.support.client import until
from tests.support.fake_slack import TOKEN, FakeSlack
from tests.support.pipeline import Configs, ShippedAlertmanager, program
from tests.support.relay import RelayProcess

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "alertmanager")]

# 1 minute is 1 s
FACTOR: Final = 60
PATIENCE_SECONDS: Final = 60
RECONCILE: Final = {"interval": 0.2, "missing_for": 2, "up_for": 1}
LABELS: Final = {"alertname": "HostDiskFull", "instance": "db-01", "severity": "warning"}


class World:
    """A relay that tells Slack, and the Alertmanager that it asks."""

    def __init__(self, relay: RelayProcess, alertmanager: ShippedAlertmanager, slack: FakeSlack) -> None:
        self.relay, self.alertmanager, self.slack = relay, alertmanager, slack
        self.began = datetime.now(UTC)

    def send(self, ends: datetime) -> None:
        """Say of the alert that it is there until then, as Prometheus does."""
        one = {"labels": LABELS, "annotations": {"summary": "full"}, "startsAt": self.began.isoformat()}
        assert self.alertmanager.send([{**one, "endsAt": ends.isoformat()}]) == 200

    def silence(self) -> None:
        now = datetime.now(UTC)
        body = {
            "matchers": [{"name": "alertname", "value": "HostDiskFull", "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "test",
            "comment": "known",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.alertmanager.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/api/v2/silences", json.dumps(body), {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200

    def states(self) -> list[str]:
        return [one["status"]["state"] for one in self.alertmanager.alerts()]

    def message(self) -> dict[str, Any] | None:
        found = [one for one in self.relay.messages() if one["alert_names"] == ["HostDiskFull"]]
        assert len(found) <= 1
        return found[0] if found else None

    def is_told(self, status: str) -> bool:
        message = self.message()
        return bool(message and message["delivered"] and message["status"] == status)


@pytest.fixture(
    params=[
        pytest.param("debian12"),
        pytest.param("debian13", marks=pytest.mark.needs("alertmanager-0.28")),
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    configs = Configs(tmp_path / "configs", FACTOR)
    binary = program("prometheus-alertmanager", request.param)
    alertmanager = ShippedAlertmanager(configs, tmp_path / "alertmanager", binary=binary)
    token = tmp_path / "slack-token"
    token.touch(0o600)
    token.write_text(TOKEN)
    with FakeSlack(("#alerts",)) as slack:
        settings = {"token_file": str(token), "channel": "#alerts", "api_url": slack.url, "burst": 20}
        urls = [f"http://127.0.0.1:{alertmanager.port}"]
        relay = RelayProcess(tmp_path / "relay", slack=settings, alertmanager_urls=urls, reconcile=RECONCILE)
        with relay:
            configs.deliver_to(relay.port, relay.token_file)
            with alertmanager:
                yield World(relay, alertmanager, slack)


def test_message_turns_green_when_an_alert_ends_while_it_is_silenced(world: World) -> None:
    world.send(world.began + timedelta(hours=1))
    until(lambda: world.is_told("firing"), "the message", seconds=PATIENCE_SECONDS)
    world.silence()
    until(lambda: world.states() == ["suppressed"], "a silenced alert", seconds=PATIENCE_SECONDS)
    # what is muted is known, and stays as it is
    assert world.is_told("firing")
    world.send(datetime.now(UTC))
    until(lambda: world.states() == [], "the alert's end", seconds=PATIENCE_SECONDS)
    until(lambda: world.is_told("resolved"), "a green message", seconds=PATIENCE_SECONDS)
    until(lambda: world.relay.metric("relay_queue_depth") == 0, "all told", seconds=PATIENCE_SECONDS)
    message = world.message()
    assert message is not None
    assert [line["kind"] for line in message["thread"]] == ["opened", "resolved", "note"]
    assert message["thread"][-1]["text"] == ENDED_UNSAID
    # Alertmanager has told the beginning, and nothing else
    assert world.relay.metric("relay_snapshots_stored_total") == 1
    assert world.relay.metric("relay_reconciled_total") == 1
    (shown,) = world.slack.roots()
    assert ":large_green_circle:" in shown.text
