"""Two Prometheus and two Alertmanagers with the shipped files: one message, none lost, whichever of each is killed."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.client import until
from tests.support.exporter import Child, exporter_running
from tests.support.fake_slack import TOKEN, FakeSlack, SlackMessage
from tests.support.peer import free_port
from tests.support.pipeline import Configs, ShippedAlertmanager, ShippedPrometheus
from tests.support.relay import RelayProcess

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "prometheus", "alertmanager")]

# 1 minute is 6 s, a scrape is every 1.5 s: a busy machine must not look like one that is down
FACTOR: Final = 10
# polls end as soon as they can: a busy machine takes its time
PATIENCE_SECONDS: Final = 90


class Pair(contextlib.ExitStack):
    """Two of each, wired as docs/alerting.md says: each Prometheus sends to both Alertmanagers, which are a cluster."""

    def __init__(self, folder: Path, relay: RelayProcess) -> None:
        super().__init__()
        self.configs = Configs(folder / "configs", FACTOR)
        self.configs.deliver_to(relay.port, relay.token_file)
        ports = [free_port(), free_port()]
        self.alertmanagers = [
            ShippedAlertmanager(self.configs, folder / f"alertmanager-{number}", cluster_port=own, peers=[other])
            for number, (own, other) in enumerate((ports, ports[::-1]))
        ]
        self.prometheus = [ShippedPrometheus(self.configs, folder / f"prometheus-{number}") for number in range(2)]

    def __enter__(self) -> "Pair":
        super().__enter__()
        for number, one in enumerate(self.alertmanagers):
            self.configs.add_target("alertmanager", f"prom-{number}", one.port)
            self.enter_context(one)
        until(lambda: all(self.peers(one) == 2 for one in self.alertmanagers), "a cluster", seconds=PATIENCE_SECONDS)
        for one in self.prometheus:
            self.enter_context(one)
        return self

    @staticmethod
    def peers(one: ShippedAlertmanager) -> int:
        """Return how many members an Alertmanager's cluster has."""
        return len(one.get("/api/v2/status")["cluster"].get("peers", []))

    def watch(self, name: str, port: int) -> None:
        """Have both scrape an exporter, and wait until they do."""
        self.configs.add_target("node", name, port)
        self.until_up(name, 1)

    def until_up(self, name: str, value: float) -> None:
        """Wait until every Prometheus that runs sees an exporter so."""
        query = f'up{{job="node",instance="{name}"}}'
        alive = [one for one in self.prometheus if one.process.poll() is None]
        until(lambda: all(one.value(query) == value for one in alive), f"{query} {value}", seconds=PATIENCE_SECONDS)


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as one:
        yield one


def relay_to(slack: FakeSlack, folder: Path) -> RelayProcess:
    token = folder / "slack-token"
    token.touch(0o600)
    token.write_text(TOKEN)
    settings: dict[str, Any] = {"token_file": str(token), "channel": "#alerts", "api_url": slack.url}
    fast = {"retry_after": 0.05, "posts_per_second": 100, "updates_per_minute": 6000}
    return RelayProcess(folder / "relay", slack={**settings, **fast}, watchdog={"silent_after": 600})


def messages(slack: FakeSlack, alert: str, instance: str) -> list[SlackMessage]:
    """Return the messages about an alert of a host."""
    return [one for one in slack.roots() if alert in one.text and instance in one.text]


def told(slack: FakeSlack, alert: str, instance: str, *, resolved: bool) -> bool:
    return any(("RESOLVED" in one.text) == resolved for one in messages(slack, alert, instance))


def test_one_message_and_none_lost_although_one_of_each_is_killed(tmp_path: Path, slack: FakeSlack) -> None:
    relay = relay_to(slack, tmp_path)
    with relay, contextlib.ExitStack() as stack, Pair(tmp_path, relay) as pair:
        exporters: dict[str, Child] = {}
        for name in ("web-01", "web-02"):
            exporters[name] = stack.enter_context(exporter_running())
            pair.watch(name, exporters[name].port)
        both_tell(pair, slack, exporters["web-01"])
        one_of_each_tells(pair, slack, exporters)
        until(lambda: relay.metric("relay_queue_depth") == 0, "all is told", seconds=PATIENCE_SECONDS)
        for name in exporters:
            assert len(messages(slack, "HostDown", name)) == 1, [one.text for one in slack.roots()]
        lines = [line.text for one in slack.roots() for line in slack.thread(one)]
        assert len(lines) == len(set(lines)), lines
        assert not slack.copies()


def both_tell(pair: Pair, slack: FakeSlack, exporter: Child) -> None:
    """A host goes down while two of each work: both Prometheus fire, both Alertmanagers know, one message comes."""
    exporter.signal(signal.SIGSTOP)
    until(lambda: told(slack, "HostDown", "web-01", resolved=False), "the message", seconds=PATIENCE_SECONDS)
    known = [{one["labels"]["alertname"] for one in server.alerts()} for server in pair.alertmanagers]
    assert all("HostDown" in names for names in known)


def one_of_each_tells(pair: Pair, slack: FakeSlack, exporters: dict[str, Child]) -> None:
    """One of each is killed: the end of what fires, and what fires next, is told by those that are left."""
    pair.prometheus[0].process.kill()
    pair.alertmanagers[0].process.kill()
    exporters["web-01"].signal(signal.SIGCONT)
    exporters["web-02"].signal(signal.SIGSTOP)
    until(lambda: told(slack, "HostDown", "web-01", resolved=True), "its end", seconds=PATIENCE_SECONDS)
    until(lambda: told(slack, "HostDown", "web-02", resolved=False), "what comes next", seconds=PATIENCE_SECONDS)
    until(
        lambda: told(slack, "PipelinePartDown", "prom-0", resolved=False),
        "that a part is down",
        seconds=PATIENCE_SECONDS,
    )
    exporters["web-02"].signal(signal.SIGCONT)
    until(lambda: told(slack, "HostDown", "web-02", resolved=True), "its end", seconds=PATIENCE_SECONDS)
