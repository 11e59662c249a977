"""The whole way: stress-ng holds the CPU, the shipped alert fires, the relay shows it, and shows it resolved."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import until
from tests.support.scaling import scale_tree
from tests.support.stack import PYTHON_UP, ROOT, Terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("linux", "prometheus", "alertmanager", "stress-ng"),
]

ALERT = "HostCpuHigh"
# 5 minutes are 10 s, a scrape is every 0.5 s
FACTOR = 30


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Terminal]:
    """The shipped configurations with their times scaled, and nothing else changed."""
    scale_tree(ROOT, tmp_path / "configs", FACTOR)
    with Terminal(tmp_path / "state", tmp_path / "configs", PYTHON_UP) as running:
        running.wait_for("Everything runs")
        yield running


@pytest.fixture
def load() -> Iterator["subprocess.Popen[bytes]"]:
    """Every core busy, until it is terminated."""
    command = ["stress-ng", "--cpu", str(os.cpu_count()), "--timeout", "120"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield process
        process.terminate()


class Hops:
    """When each hop was reached, and how long after the one before."""

    def __init__(self) -> None:
        self._begun = self._last = time.monotonic()
        self.lines: list[str] = []

    def reached(self, what: str, condition: Callable[[], object], seconds: float) -> None:
        """Wait for a hop."""
        until(condition, what, seconds=seconds, every=0.1)
        now = time.monotonic()
        self.lines.append(f"  {now - self._begun:6.1f} s  (+{now - self._last:4.1f})  {what}")
        self._last = now


def busy(stack: Terminal) -> float | None:
    """Return what the recording rule says."""
    rows = stack.get("prometheus", "/api/v1/query?query=instance:cpu_busy_ratio:avg5m")["data"]["result"]
    return float(rows[0]["value"][1]) if rows else None


def fires_in_prometheus(stack: Terminal) -> bool:
    return ALERT in {
        alert["labels"]["alertname"] for alert in stack.get("prometheus", "/api/v1/alerts")["data"]["alerts"]
    }


def fires_in_alertmanager(stack: Terminal) -> bool:
    alerts = stack.get("alertmanager", "/api/v2/alerts?active=true")
    return ALERT in {alert["labels"]["alertname"] for alert in alerts}


def message(stack: Terminal) -> dict[str, Any] | None:
    """Return the newest message of the alert."""
    messages = stack.get("relay", "/api/v1/messages")["messages"]
    return next((one for one in messages if one["alert_names"] == [ALERT]), None)


def shown(stack: Terminal, status: str) -> bool:
    one = message(stack)
    return one is not None and one["status"] == status


def test_a_busy_cpu_becomes_a_message_that_is_resolved_when_the_load_ends(
    stack: Terminal, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    # whatever else runs on this machine has to leave it alone for 10 s first, or nothing is proven
    until(lambda: (busy(stack) or 1) < 0.7, "the CPU is quiet before the test", seconds=90, every=0.25)
    until(lambda: not fires_in_prometheus(stack), "the alert is silent before the test", seconds=30, every=0.25)
    before = message(stack)
    hops = Hops()
    load = request.getfixturevalue("load")
    hops.reached("measured: the recorded average is above 80 %", lambda: (busy(stack) or 0) > 0.8, 40)
    hops.reached("fires in Prometheus", lambda: fires_in_prometheus(stack), 10)
    hops.reached("known to Alertmanager", lambda: fires_in_alertmanager(stack), 10)
    hops.reached("firing on the relay's page", lambda: shown(stack, "firing"), 20)
    firing = message(stack)
    assert firing is not None
    assert before is None or firing["episode"] > before["episode"]
    assert firing["labels"] == {"alertname": ALERT, "instance": "localhost"}
    assert "above its threshold on average for 5 minutes" in str(firing["message"])
    load.terminate()
    load.wait(10)
    hops.reached("the load has ended: the average is at 80 % or below", lambda: (busy(stack) or 1) <= 0.8, 90)
    hops.reached("resolved on the relay's page", lambda: shown(stack, "resolved"), 90)
    resolved = message(stack)
    assert resolved is not None
    assert resolved["id"] == firing["id"], "the message is updated in place"
    with capsys.disabled():
        print(f"\nend to end, times scaled by {FACTOR}:", *hops.lines, sep="\n")
