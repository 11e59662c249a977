"""Who did it, for real: Prometheus says where the exporter is, the exporter what it saw, and the thread tells it."""

import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import until
from tests.support.relay import alert, payload
from tests.support.stack import PYTHON_UP, ROOT, Terminal

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "prometheus", "alertmanager")]


def scraped(stack: Terminal) -> bool:
    targets = stack.get("prometheus", "/api/v1/targets?state=active")["data"]["activeTargets"]
    return any(one["labels"]["job"] == "node" and one["health"] == "up" for one in targets)


def kept(stack: Terminal) -> bool:
    try:
        return "processes" in stack.get("exporter", "/api/v1/evidence")
    except urllib.error.HTTPError:  # 404: nothing of this moment yet
        return False


def fire(stack: Terminal, name: str, **more: Any) -> None:
    """Send an alert that begins now, as Alertmanager would."""
    one = alert(name, "localhost", startsAt=datetime.now(UTC).isoformat(), **more)
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.ports['relay']}/alertmanager", json.dumps(payload(one)).encode()
    )
    request.add_header("Authorization", "Bearer " + (stack.state / "relay-token").read_text().strip())
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def note(stack: Terminal, name: str) -> str:
    messages = stack.get("relay", "/api/v1/messages")["messages"]
    return "".join(
        line["text"]
        for one in messages
        if one["alert_names"] == [name]
        for line in one["thread"]
        if line["kind"] == "note"
    )


def test_the_thread_tells_who_did_it(tmp_path: Path) -> None:
    with Terminal(tmp_path / "state", ROOT, PYTHON_UP) as stack:
        stack.wait_for("Everything runs")
        until(lambda: scraped(stack), "Prometheus has scraped the exporter", seconds=60, every=0.2)
        # a sample and a list of processes have to be there
        until(lambda: kept(stack), "evidence is kept", seconds=60, every=0.2)
        began = time.monotonic()
        fire(stack, "HostCpuHigh")
        until(lambda: note(stack, "HostCpuHigh"), "who used the CPU", seconds=10, every=0.05)
        assert "*Who used the CPU* on localhost" in note(stack, "HostCpuHigh")
        fire(stack, "HostMemoryHigh")
        until(lambda: note(stack, "HostMemoryHigh"), "who used the memory", seconds=10, every=0.05)
        assert "iB" in note(stack, "HostMemoryHigh")
        assert time.monotonic() - began < 20
