"""`make bench`, with few scrapes: the table is whole, and the hot path is nowhere near its limit."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = (sys.executable, "-m", "bench", "--quick")
# the goal is 0.14 in a full run on a quiet machine
GENEROUS = 0.25


@pytest.mark.slow
@pytest.mark.needs("node_exporter")
def test_a_quick_run_measures_everything_and_hostwatch_is_far_cheaper(tmp_path: Path) -> None:
    done = subprocess.run(
        [*BENCH, "--out", tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "bench.json").read_text())
    rows = {(row["key"], row["pair"]): row for row in result["rows"]}
    assert all(row["ours"] for row in rows.values())
    assert all(row["peer"] for row in rows.values() if row["key"] != "sampler_cpu")
    assert rows["hot_cpu", "T"]["ratio"]["value"] <= GENEROUS, done.stdout
    assert rows["load_rate", "T"]["ratio"]["value"] >= 5, done.stdout
    assert rows["load_errors", "T"]["ours"]["value"] == 0, done.stdout
    assert result["machine"]["peer"].startswith("node_exporter 1.")
    text = (tmp_path / "bench.md").read_text()
    assert all(row["title"] in text for row in rows.values())


@pytest.mark.slow
@pytest.mark.needs("node_exporter")
def test_an_interrupted_run_leaves_no_server_behind(tmp_path: Path) -> None:
    with subprocess.Popen(BENCH, cwd=ROOT, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        while (line := bench.stderr.readline()) and "hot" not in line:
            pass
        servers = children_of(bench.pid)
        assert len(servers) == 5
        bench.send_signal(signal.SIGINT)
        bench.wait(30)
    assert bench.returncode != 0
    assert not [pid for pid in servers if Path(f"/proc/{pid}").exists()]


def children_of(pid: int) -> list[str]:
    """Return the pids of a process' children (/proc/PID/task/*/children)."""
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
