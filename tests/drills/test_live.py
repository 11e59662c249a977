"""Every drill once in a real pipeline, its times scaled: fired, told, resolved, told again, and nothing left.

What another test does to this machine at the same time is no drill: alerts about it are let pass. Memory and the disk
are drilled gently: what they prove is the way of the alert, on a machine that others use.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from exporter.drills.faults import FAULTS
from tests.support.engine import Engine
from tests.support.scaling import scale_tree
from tests.support.stack import PYTHON_UP, ROOT, Terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("linux", "root", "prometheus", "alertmanager", "stress-ng", "openssl", "docker-engine"),
]

# 5 minutes are 20 s, a scrape is every second
FACTOR = 15
AT_ONCE = 16
BESIDE = tuple(fault.name for fault in FAULTS if not fault.alone)
ALONE = tuple(fault.name for fault in FAULTS if fault.alone)
BELOW = tuple(fault.name for fault in FAULTS if fault.has_threshold and not fault.alone)
SECONDS = 900
SOAK = os.environ.get("HOSTWATCH_SOAK") == "1"
ROUNDS = 10 if SOAK else 1
# from firing in Prometheus to the relay, less group_wait; the machine of `make test` is shared
DELIVERY_SECONDS = 1.0 if SOAK else 15.0
OTHERS = (
    *("HostCpuHigh", "HostPressureHigh", "HostMemoryHigh", "HostOomKill", "HostDown", "PipelinePartDown"),
    *("HostDiskReadOnly", "HostDiskSpaceLow", "HostDiskAlmostFull", "HostInodesLow", "HostClockSkewed"),
    *("CollectorFailing", "HostNetworkDrops", "HostNetworkErrors", "ContainerFailed", "ContainerExited"),
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("stack")
    scale_tree(ROOT, folder / "configs", FACTOR)
    with Terminal(folder / "state", folder / "configs", PYTHON_UP) as running:
        running.wait_for("Everything runs", 120)
        yield running


def drill(stack: Terminal, state: Path, socket: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    where = [f"--{part}=http://127.0.0.1:{stack.ports[part]}" for part in ("prometheus", "alertmanager", "relay")]
    ignored = [f"--ignore-alert={name}" for name in OTHERS]
    options = [*where, *ignored, f"--docker={socket}", f"--state={state}", "--gentle", "--max-load=1000"]
    command = [sys.executable, "-m", "exporter", "drill", *options, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.stdout, done.stderr
    return done


Runs = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def results(stack: Terminal, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Runs]]:
    """Each run of each drill, by name: all beside each other, then those that want the machine for themselves."""
    state = tmp_path_factory.mktemp("drills")
    found: Runs = {}
    before = mounted()
    for number in range(ROUNDS):
        for names in (BESIDE, ALONE):
            done = drill(stack, state, engine.socket, "run", *names, "--yes", "--json", f"--at-once={AT_ONCE}")
            assert done.returncode in {0, 1, 2, 3}, done.stderr[-3000:]
            for one in json.loads(done.stdout):
                print(number, one["verdict"], one["drill"], one["reason"])
                found.setdefault(one["drill"], []).append(one)
    yield state, found
    if SOAK:
        print(drill(stack, state, engine.socket, "report").stdout)
    assert [path.name for path in state.iterdir() if path.name not in {"lock", "results"}] == [], "nothing is left"
    assert not list(Path(stack.state).rglob("hostwatch-drill-*"))
    assert set(mounted()) <= set(before), "what others drill at the same time is not ours"
    assert "hostwatch-drill-" not in engine.run("ps", "--all", "--format", "{{.Names}}")
    assert "hostwatch-drill-" not in engine.run("images", "--format", "{{.Repository}}")


def mounted() -> list[str]:
    """Return where file systems of drills are mounted."""
    return [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines() if "/drill-" in line]


@pytest.mark.parametrize("name", BESIDE)
def test_alert_is_told_and_its_end_too(results: tuple[Path, Runs], name: str) -> None:
    runs = results[1][name]
    assert len(runs) == ROUNDS
    # how late something may be is a measurement: where others share this machine, it is none
    allowed = {"proven"} if SOAK else {"proven", "late"}
    assert {one["verdict"] for one in runs} <= allowed, [one["reason"] for one in runs]


@pytest.mark.measured
@pytest.mark.parametrize("name", ALONE)
def test_alert_of_a_drill_that_runs_alone_is_told(results: tuple[Path, Runs], name: str) -> None:
    runs = results[1][name]
    assert len(runs) == ROUNDS
    # whatever else runs on this machine has to leave the CPU alone first: else it is refused
    if not SOAK and "not seen well" in runs[0]["reason"] and busy() > 0.4:
        pytest.skip(f"others use this machine's CPU: {runs[0]['reason']}")
    assert {one["verdict"] for one in runs} <= ({"proven"} if SOAK else {"proven", "late"}), [
        one["reason"] for one in runs
    ]


def busy(seconds: float = 3.0) -> float:
    """Return the share of all cores that is busy now (/proc/stat)."""
    first = psutil.cpu_times()
    time.sleep(seconds)
    last = psutil.cpu_times()
    idle = last.idle + last.iowait - first.idle - first.iowait
    return 1 - idle / (sum(last) - sum(first))


@pytest.mark.measured  # what others use of this machine comes on top of 0.8
def test_nothing_fires_below_the_threshold(stack: Terminal, engine: Engine, results: tuple[Path, Runs]) -> None:
    options = ("--below", "--yes", "--json", f"--at-once={len(BELOW)}")
    for _ in range(ROUNDS):
        for names in (BELOW, ALONE) if SOAK else (BELOW,):
            found = json.loads(drill(stack, results[0], engine.socket, "run", *names, *options).stdout)
            assert {(one["drill"], one["verdict"]) for one in found} == {(name, "proven") for name in names}, found


def test_from_firing_to_the_relay_takes_less_than_a_second(results: tuple[Path, Runs]) -> None:
    ways = [(way, way["moments"]) for runs in results[1].values() for one in runs for way in one["ways"]]
    took = [moments["told"] - moments["firing"] - way["group_wait"] for way, moments in ways if "told" in moments]
    print(f"{len(took)} times, median {statistics.median(took):.2f} s, maximum {max(took):.2f} s")
    assert len(took) >= ROUNDS * len(BESIDE)
    assert max(took) < DELIVERY_SECONDS


def test_message_says_that_it_is_a_drill(stack: Terminal, results: tuple[Path, Runs]) -> None:
    messages = stack.get("relay", "/api/v1/messages?limit=500")["messages"]
    ours = [one for one in messages if all(a["labels"].get("drill") == "true" for a in one["alerts"])]
    assert len(ours) >= len(BESIDE)
    assert all("*DRILL · " in one["text"] for one in ours)
    assert not [one for one in messages if one not in ours and "DRILL" in one["text"]]


def test_report_shows_what_was_proven(stack: Terminal, engine: Engine, results: tuple[Path, Runs]) -> None:
    page = results[0].parent / "drills.html"
    done = drill(stack, results[0], engine.socket, "report", f"--html={page}")
    assert done.returncode == 0, done.stderr
    assert "| ServiceDown |" in done.stdout
    assert "<svg" in page.read_text()
    proven = json.loads(drill(stack, results[0], engine.socket, "report", "--json").stdout)
    shipped = len(proven["proven"]) + len(proven["unproven"])
    print(len(proven["proven"]), "of", shipped, proven["unproven"])
    # the CPU's two alerts are left out where others use it
    assert len(proven["proven"]) >= (0.8 if SOAK else 0.75) * shipped
