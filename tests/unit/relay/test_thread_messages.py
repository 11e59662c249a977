"""Whole stories as Slack shows them at their end: the message and its thread, in golden files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.relay import outbox
from exporter.relay.findings import parse_findings, tell
from exporter.relay.intake import Alert
from exporter.relay.lines import Line
from exporter.relay.watchdog import ALERT
from tests.support.delivery_bench import Bench
from tests.support.fake_fleet import EVIDENCE
from tests.support.fake_slack import Fault
from tests.support.relay import START, alert, payload, resolved

GOLDEN = Path(__file__).parents[2] / "golden" / "messages" / "threads"
NOW = 1795187200.0
A, B = alert(), alert(instance="web-02:9100", startsAt="2026-11-20T15:10:00Z")
MILD = alert(labels={"severity": "warning"}, fingerprint="x")
SEVERE = alert(labels={"severity": "critical"}, fingerprint="x")


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.now = NOW
    return bench


def steps(bench: Bench, *snapshots: tuple[Any, ...], **settings: Any) -> None:
    for alerts in snapshots:
        bench.store(*alerts)
        bench.run(**settings)
        bench.now += 60


def evidence(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    found = parse_findings(json.dumps(EVIDENCE).encode())
    text = tell("cpu", Alert(labels={"instance": "web-01:9100"}, starts_at=START), found)
    assert text is not None
    line = Line("note", text)
    bench.queue.run(lambda db: outbox.add_note(db, 1, 1, line, NOW, live=True)).result(10)
    bench.run()
    bench.now += 60
    bench.store(resolved(A))
    bench.run()


def late(bench: Bench) -> None:
    bench.store(A)
    bench.store(A, B)
    bench.store(resolved(A), resolved(B))
    bench.now += 3600
    bench.run()


def repeated(bench: Bench) -> None:
    steps(bench, (A,))
    bench.now += 4 * 3600
    steps(bench, (A,), mentions={"critical": "<!here>"})


def copied(bench: Bench) -> None:
    bench.slack.fail_next(Fault(cut="after"))
    steps(bench, (A,))


def silent(bench: Bench) -> None:
    name = {"alertname": ALERT, "severity": "critical"}
    notes = {"summary": "Alerts may be missing: no Watchdog has come for 5 min"}
    one = {"status": "firing", "labels": name, "annotations": notes, "startsAt": START}
    body = payload(one, receiver="hostwatch", groupLabels={"alertname": ALERT}, externalURL="")
    for alerts in ([one], [{**one, "status": "resolved", "endsAt": "2026-11-20T15:18:40Z"}]):
        bench.store(*alerts, receiver=body["receiver"])
        bench.run()


STORIES: dict[str, Callable[[Bench], None]] = {
    "evidence": evidence,
    "more-then-fewer": lambda bench: steps(bench, (A,), (A, B), (resolved(A), B), (resolved(A), resolved(B))),
    "worse": lambda bench: steps(bench, (MILD,), (SEVERE,), mentions={"critical": "<!here>"}),
    "late": late,
    "repeated": repeated,
    "copied": copied,
    "injection": lambda bench: steps(
        bench, (A,), (A, alert(instance="<!channel>", name="<@U1>|*x* :red_circle:")), (resolved(A),)
    ),
    "silent-pipeline": silent,
}


@pytest.mark.parametrize("name", STORIES)
def test_the_story_is_as_recorded(name: str, bench: Bench, rewrite_golden: bool) -> None:
    STORIES[name](bench)
    told = [
        {
            "text": root.text,
            "attachments": root.attachments,
            "thread": [{"text": one.text, "broadcast": one.broadcast} for one in bench.slack.thread(root)],
        }
        for root in bench.slack.roots()
    ]
    made = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    path = GOLDEN / f"{name}.json"
    if rewrite_golden:
        path.write_text(made)
    assert made == path.read_text()


def test_every_recorded_story_is_told() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(STORIES)
