"""Evidence: asked of those whom Prometheus scrapes, in the thread, and never in the way of a message."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.clients.prometheus import Target
from exporter.relay.calls import Caller
from exporter.relay.delivery import Delivery
from exporter.relay.evidence import MAX_ALERTS, MAX_QUESTIONS, Evidence, NoEvidenceError, evidence_url, kind_of
from exporter.relay.intake import Alert
from exporter.relay.queue import DurableQueue
from exporter.relay.settings import AccessSettings, EvidenceSettings, Limits, SlackSettings
from exporter.relay.slack import Slack
from exporter.relay.storage import Arrival
from exporter.settings import Duration
from tests.support.delivery_bench import Tokens
from tests.support.fake_fleet import FakeFleet
from tests.support.fake_slack import FakeSlack
from tests.support.relay import alert, payload, resolved

NOW = 1795187200.0  # 20 s after the alerts began
CPU, OTHER = alert(), alert(instance="web-02:9100")


class World:
    """A queue whose delivery asks for evidence, and the fleet that is asked."""

    def __init__(self, folder: Path, fleet: FakeFleet) -> None:
        self.queue, self.fleet = DurableQueue(folder / "relay.db", Limits()), fleet
        self.evidence: Evidence

    def store(self, *alerts: Any, group: str = "g") -> None:
        body = json.dumps(payload(*alerts, groupKey=group)).encode()
        self.queue.store(Arrival("slack", group, b"", body, NOW)).result(10)

    def run(self, until: Callable[[], object] | None = None, now: float = NOW, **settings: Any) -> Evidence:
        """Run until all questions are answered, or a condition holds."""

        async def run() -> Evidence:
            known = EvidenceSettings(**{"prometheus_url": self.fleet.url, **settings})
            self.evidence = Evidence(known, self.queue, live=False, clock=lambda: now)
            delivery = Delivery(self.queue, SlackSettings(), self.evidence)
            task = asyncio.create_task(delivery.run())
            async with asyncio.timeout(15):
                # ASYNC110: what is waited for is on other threads
                while not (until() if until else self.queue.stats.depth == 0 and not self.evidence._tasks):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.evidence.stop()
            return self.evidence

        return asyncio.run(run())

    def notes(self, group: str = "g") -> list[str]:
        found = [one for one in self.queue.recent(50).result(10) if one.episode.group_key == group]
        return [line.text for one in found for line in one.lines if line.kind == "note"]

    def reasons(self) -> set[str]:
        return {reason for reason, count in self.evidence.failures.items() if count}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FakeFleet() as fleet:
        fleet.scrapes("web-01:9100")
        one = World(tmp_path, fleet)
        yield one
        assert one.queue.close()


def test_who_did_it_stands_in_the_thread(world: World) -> None:
    world.store(CPU)
    world.run()
    (note,) = world.notes()
    assert note.startswith(":mag: *Who used the CPU* on web-01")
    assert "stress-ng-cpu (2 processes): 1.98 cores" in note
    asked = world.fleet.asked[-1]
    assert (asked.path, asked.query) == ("/api/v1/evidence", {"at": CPU["startsAt"]})


def test_each_beginning_is_asked_about_once(world: World) -> None:
    world.fleet.scrapes("web-02:9100")
    for alerts in ((CPU,), (CPU,), (CPU, OTHER), (resolved(CPU), OTHER), (resolved(CPU), resolved(OTHER))):
        world.store(*alerts)
        world.run()
    assert len(world.notes()) == 2
    assert world.fleet.count("/api/v1/evidence") == 2


def test_one_machine_is_asked_once_and_a_large_group_does_not_ask_all(world: World) -> None:
    twice = alert(labels={"cpu": "1"})
    world.store(CPU, twice)
    world.run()
    assert world.fleet.count("/api/v1/evidence") == 1
    world.fleet.asked.clear()
    many = [alert(instance=f"h{number}") for number in range(10)]
    for one in many:
        world.fleet.scrapes(one["labels"]["instance"])
    world.store(*many, group="many")
    world.run()
    assert world.fleet.count("/api/v1/evidence") == MAX_ALERTS


def test_a_message_does_not_wait_for_it(world: World) -> None:
    world.fleet.delay = 30
    world.store(CPU)
    world.run(until=lambda: world.queue.stats.firing == 1 and world.fleet.asked)
    assert (world.notes(), world.queue.stats.depth) == ([], 0)


def test_a_slow_exporter_costs_its_line_only(world: World) -> None:
    world.fleet.drip = 0.05
    world.store(CPU)
    world.run(timeout=Duration(0.1))
    assert (world.notes(), world.reasons()) == ([], {"prometheus"})


NOBODY = {
    "another instance": {"instance": "web-01:9101", "job": "node"},
    "another job": {"instance": "web-01:9100", "job": "mysqld"},
}


@pytest.mark.parametrize("labels", NOBODY.values(), ids=NOBODY)
def test_whom_prometheus_does_not_scrape_is_not_asked(world: World, labels: dict[str, str]) -> None:
    world.fleet.targets = [{"labels": labels, "scrapeUrl": f"{world.fleet.url}/metrics", "health": "up"}]
    world.store(CPU)
    world.run()
    assert (world.notes(), world.reasons(), world.fleet.count("/api/v1/evidence")) == ([], {"no_target"}, 0)


def test_no_word_of_an_alert_says_whom_to_ask(world: World) -> None:
    with FakeFleet() as trap:
        evil = trap.url.removeprefix("http://")
        labels = {"instance": evil, "address": evil, "__address__": evil}
        bait = alert(instance=evil, labels=labels, annotations={"evidence_url": trap.url}, generatorURL=trap.url)
        world.store(bait)
        world.run()
        assert trap.asked == []
    assert world.reasons() == {"no_target"}


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown moment": ({"status": 404}, "no_sample"),
    "redirect": ({"status": 302, "headers": {"Location": "http://127.0.0.1:9/"}}, "exporter"),
    "no JSON": ({"evidence": "x"}, "bad_answer"),
    "too large": ({"evidence": {"x": "y" * 300_000}}, "exporter"),
    "nothing of the kind": ({"evidence": {"sample": {"timestamp_seconds": 1.0}}}, "no_sample"),
    "locked": ({"password": "Basic x"}, "exporter"),
}


@pytest.mark.parametrize(("how", "reason"), FAULTS.values(), ids=FAULTS)
def test_whatever_is_wrong_the_message_goes_alone(world: World, how: dict[str, Any], reason: str) -> None:
    # Prometheus is well, the exporter is not: two servers
    with FakeFleet() as sick:
        for name, value in how.items():
            setattr(sick, name, value)
        world.fleet.targets[0]["scrapeUrl"] = f"{sick.url}/metrics"
        world.store(CPU)
        world.run()
        assert (world.notes(), world.reasons(), len(sick.asked)) == ([], {reason}, 1)
    assert (world.queue.stats.firing, world.queue.stats.dead_letters) == (1, 0)


def test_an_exporter_behind_a_password_is_shown_it(world: World, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("sesame\n")
    with FakeFleet() as locked:
        locked.password = "Basic " + base64.b64encode(b"relay:sesame").decode()
        world.fleet.targets[0]["scrapeUrl"] = f"{locked.url}/metrics"
        world.store(CPU)
        world.run(exporter=AccessSettings(username="relay", password_file=str(file)))
    assert len(world.notes()) == 1
    # it goes to the exporter only
    assert {one.authorization for one in world.fleet.asked} == {""}


def test_a_password_file_that_cannot_be_used_is_told(world: World) -> None:
    world.store(CPU)
    world.run(exporter=AccessSettings(username="relay", password_file="/no/such"))
    assert (world.notes(), world.reasons()) == ([], {"settings"})


def test_old_news_and_other_alerts_ask_nobody(world: World) -> None:
    world.store(alert("DatabaseSlow"), group="other")
    world.run()
    world.store(CPU)
    world.run(now=NOW + 2 * 3600)
    assert world.fleet.asked == []


def test_without_prometheus_nothing_is_asked(world: World) -> None:
    world.store(CPU)
    assert world.run(prometheus_url="").fetches == 0


def test_a_storm_waits_in_no_endless_row(world: World) -> None:
    world.fleet.delay = 30
    for number in range(MAX_QUESTIONS + 8):
        world.store(alert(instance=f"h{number}"), group=str(number))
    world.run(until=lambda: world.queue.stats.depth == 0 and world.evidence.fetches == MAX_QUESTIONS + 8)
    assert world.evidence.failures["busy"] == 8


def test_the_list_of_targets_is_asked_for_once_in_a_while(world: World) -> None:
    world.store(CPU)
    world.store(alert("HostMemoryHigh"), group="memory")
    world.run()
    assert (world.fleet.count("/api/v1/targets"), world.fleet.count("/api/v1/evidence")) == (1, 2)


def test_a_line_comes_after_its_message_in_slack(world: World) -> None:
    with FakeSlack() as slack:
        world.store(CPU)

        async def run() -> None:
            known = SlackSettings(channel="#alerts", api_url=slack.url, posts_per_second=1000, burst=100)
            evidence = Evidence(
                EvidenceSettings(prometheus_url=world.fleet.url), world.queue, live=True, clock=lambda: NOW
            )
            caller = Caller(Slack(slack.url, 1), known, None)
            delivery = Delivery(world.queue, known, evidence, source=Tokens(), call=caller, clock=lambda: NOW)
            evidence.on_line = delivery.wake
            task = asyncio.create_task(delivery.run())
            async with asyncio.timeout(15):
                while slack.count("chat.postMessage") < 2:  # noqa: ASYNC110 -- other threads
                    await asyncio.sleep(0.005)
            await delivery.finish(5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            evidence.stop()
            delivery.stop()

        asyncio.run(run())
        (root,) = slack.roots()
        (line,) = slack.thread(root)
        assert "Who used the CPU" in line.text
        assert not line.broadcast


KINDS = {
    "by name": ({}, "HostCpuHigh", "cpu"),
    "by pattern": ({}, "HostMemoryVeryHigh", "memory"),
    "of pings": ({}, "PingLatencyHigh", "latency"),
    "by annotation": ({"evidence": "disk"}, "MyOwn", "disk"),
    "annotation against it": ({"evidence": "none"}, "HostCpuHigh", "none"),
    "no such kind": ({"evidence": "http://evil.example"}, "HostCpuHigh", "cpu"),
    "of no interest": ({}, "Other", "none"),
}


@pytest.mark.parametrize(("annotations", "name", "kind"), KINDS.values(), ids=KINDS)
def test_name_or_annotation_say_which_evidence(annotations: dict[str, str], name: str, kind: str) -> None:
    assert kind_of(Alert(labels={"alertname": name}, annotations=annotations), EvidenceSettings()) == kind


URLS = {
    "http://a:10101/metrics": "http://a:10101/api/v1/evidence",
    "https://proxy/hosts/a/metrics": "https://proxy/hosts/a/api/v1/evidence",
    "http://a/metrics?collect[]=cpu": "http://a/api/v1/evidence",
    "http://[::1]:10101/probe": "http://[::1]:10101/api/v1/evidence",
}


@pytest.mark.parametrize(("scraped", "asked"), URLS.items())
def test_evidence_stands_beside_the_metrics(scraped: str, asked: str) -> None:
    assert evidence_url(Target(scrape_url=scraped)) == asked


@pytest.mark.parametrize("scraped", ["", "ftp://a/metrics", "http://u:p@a/metrics", "/metrics"])
def test_a_target_of_another_kind_is_not_asked(scraped: str) -> None:
    with pytest.raises(NoEvidenceError):
        evidence_url(Target(scrape_url=scraped))
