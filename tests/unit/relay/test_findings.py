"""Evidence in words: who used most, in numbers for people, and nothing that a name could inject."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.relay.findings import MAX_TEXT, parse_findings, tell
from exporter.relay.intake import Alert
from exporter.web import evidence as web
from tests.support.effort import tries
from tests.support.fake_fleet import EVIDENCE
from tests.support.relay import START


def told(kind: Any, evidence: Any = EVIDENCE, **labels: str) -> str | None:
    alert = Alert(labels={"instance": "web-01:9100", **labels}, starts_at=START)
    return tell(kind, alert, parse_findings(json.dumps(evidence).encode()))


HEAD = "on web-01, <!date^1795187180^{time}|15:06 UTC>"

TEXTS = {
    "cpu": (
        {},
        f""":mag: *Who used the CPU* {HEAD} (97 % in use)
• stress-ng-cpu (2 processes): 1.98 cores
• python3: 1.00 core
• postgres (12 processes): 0.31 cores
• containers: web 1.20 cores""",
    ),
    "memory": (
        {},
        f""":mag: *Who used the memory* {HEAD} (91 % in use, swap 25 %)
• postgres (12 processes): 3.2 GiB
• python3: 238 MiB
• stress-ng-cpu (2 processes): 11.4 MiB
• containers: web 668 MiB""",
    ),
    "disk": (
        {},
        f""":mag: *Which disk, and who wrote* {HEAD}
• /data: 93 % full
• /: 40 % full
• postgres (12 processes): writes 12.4 MiB/s, reads 1.9 MiB/s""",
    ),
    "latency": (
        {},
        f""":mag: *Which way was slow, and who was busy* {HEAD}
• db-02: 100 % lost
• db-01: 240 ms, 20 % lost
• gw: 1 ms, 0 % lost
• stress-ng-cpu (2 processes): 1.98 cores
• python3: 1.00 core
• postgres (12 processes): 0.31 cores""",
    ),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_top_three_are_told(kind: Any) -> None:
    labels, text = TEXTS[kind]
    assert told(kind, **labels) == text


def test_the_disk_and_the_target_of_the_alert_come_first() -> None:
    assert "\n• /: 40 % full\n• /data" in (told("disk", mountpoint="/") or "")
    assert "\n• gw: 1 ms, 0 % lost\n• db-02" in (told("latency", target="gw") or "")


def test_what_the_exporter_answers_is_read() -> None:
    made = web.Evidence(
        at="2026-11-20T15:06:21Z",
        sample=web.SampleTime("2026-11-20T15:06:20Z", 1795187180.0),
        host=web.Host(cpu_usage_ratio=0.97),
        filesystems=[web.FileSystemThen("/", 0.4)],
        latency=[web.LatencyThen("gw", loss_ratio=1.0)],
        services=[web.ServiceThen("web", "http", up=False)],
        processes=[web.Process("sh", 1, 0.5, 1024)],
        containers=[web.ContainerThen("web", "web:1", memory_bytes=2048)],
    )
    found = parse_findings(msgspec.json.encode(made))
    assert (found.host.cpu_usage_ratio, found.host.memory_usage_ratio) == (0.97, None)
    assert [(one.target, one.latency_seconds, one.loss_ratio) for one in found.latency] == [("gw", None, 1.0)]
    assert [(one.name, one.written_bytes_per_second) for one in found.processes] == [("sh", None)]
    assert [(one.name, one.cpu_cores, one.memory_bytes) for one in found.containers] == [("web", None, 2048.0)]


BARE = {"sample": EVIDENCE["sample"], "host": {}}


@pytest.mark.parametrize("kind", ["cpu", "memory", "disk", "latency", "none"])
def test_nothing_known_is_nothing_told(kind: Any) -> None:
    assert told(kind, BARE) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"sample": 1}', b'{"sample":{"timestamp_seconds":"x"}}', b"[" * 100_000, b"\xff"]
)
def test_what_is_no_evidence_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="not the evidence"):
        parse_findings(body)


@given(name=st.text(max_size=300), cores=st.floats(0, 1e300), memory=st.integers(0, 10**18), instance=st.text())
@settings(max_examples=tries(60))
def test_no_name_and_no_number_makes_more_than_text(name: str, cores: float, memory: int, instance: str) -> None:
    name = name.encode(errors="replace").decode()
    processes = [{"name": name, "cpu_cores": cores, "resident_bytes": memory, "written_bytes_per_second": cores}] * 9
    text = told("cpu", {**EVIDENCE, "processes": processes, "containers": [{"name": name, "cpu_cores": cores}]})
    text = (text or "") + (told("memory", {**EVIDENCE, "processes": processes}, instance=instance) or "")
    assert len(text) <= 2 * MAX_TEXT
    rest = text.replace("<!date^1795187180^{time}|15:06 UTC>", "")
    assert not {"<", ">"} & set(rest)
