"""`make bench`, with few scrapes: the table is whole, and the hot path is nowhere near its limit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = (sys.executable, "-m", "bench", "--quick")
# what no peer does
ALONE = {"sampler_cpu", "watching_cpu"}
# the goal is 0.14 in a full run on a quiet machine
GENEROUS = 0.25


@pytest.mark.measured
@pytest.mark.slow
@pytest.mark.needs("node_exporter")
def test_a_quick_run_measures_everything_and_hostwatch_is_far_cheaper(tmp_path: Path) -> None:
    done = subprocess.run(
        [*BENCH, "--out", tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "bench.json").read_text())
    rows = {(row["key"], row["pair"]): row for row in result["rows"]}
    assert {row["reason"] for row in rows.values()} <= ({""} if os.geteuid() == 0 else {"", "needs root"})
    measured = {key: row for key, row in rows.items() if not row["reason"]}
    assert all(row["ours"] for row in measured.values())
    assert all(row["peer"] for row in measured.values() if row["key"] not in ALONE)
    for pair in ("T", "T10", "D"):
        assert rows["hot_cpu", pair]["ratio"]["value"] <= GENEROUS, done.stdout
    assert rows["load_rate", "T"]["ratio"]["value"] >= 5, done.stdout
    assert rows["load_errors", "T"]["ours"]["value"] == 0, done.stdout
    assert result["machine"]["peer"].startswith("node_exporter 1.")
    text = (tmp_path / "bench.md").read_text()
    assert all(row["title"] in text for row in rows.values())


@pytest.mark.slow
@pytest.mark.needs("node_exporter")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_an_ended_run_leaves_no_server_behind(number: signal.Signals, tmp_path: Path) -> None:
    here = {**os.environ, "TMPDIR": str(tmp_path)}  # what a killed run leaves lies there
    with subprocess.Popen(BENCH, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=here) as bench:
        assert bench.stderr is not None
        while (line := bench.stderr.readline()) and "hot" not in line:
            pass
        servers = children_of(bench.pid)
        assert len(servers) == 10
        bench.send_signal(number)
        bench.wait(30)
    assert bench.returncode != 0
    deadline = time.monotonic() + 10
    while (left := [pid for pid in servers if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left


def is_running(pid: str) -> bool:
    """Whether a process is there and not a zombie that nobody has waited for yet (/proc/PID/stat)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def children_of(pid: int) -> list[str]:
    """Return the pids of a process' children (/proc/PID/task/*/children)."""
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
