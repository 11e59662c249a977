"""`make up` for real: every job is up, and whatever ends it leaves nothing behind."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import until
from tests.support.scaling import scale_tree
from tests.support.stack import PYTHON_UP, ROOT, Terminal, environment, free_ports, gone, known

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "prometheus", "alertmanager")]

PARTS = {"exporter", "relay", "alertmanager", "prometheus"}
PYTHON_DOWN = (*PYTHON_UP[:-1], "down")
# a person waits no longer than this after Ctrl-C
A_FEW_SECONDS = 8


@pytest.fixture
def fast(tmp_path: Path) -> Path:
    """The shipped configurations with 0.5 s instead of 15 s between scrapes."""
    scale_tree(ROOT, tmp_path / "configs", 30)
    return tmp_path / "configs"


@pytest.fixture
def running(tmp_path: Path, fast: Path) -> Iterator[Terminal]:
    """A stack that `make up` has brought up."""
    with Terminal(tmp_path / "state", fast) as stack:
        stack.wait_for("Everything runs")
        yield stack


def test_make_up_brings_every_job_up_and_prints_each_address(tmp_path: Path) -> None:
    with Terminal(tmp_path / "state") as stack:
        stack.wait_for("Everything runs")
        rows = stack.get("prometheus", "/api/v1/query?query=up")["data"]["result"]
        up = {(row["metric"]["job"], row["metric"]["instance"]): row["value"][1] for row in rows}
        assert up == {(job, "localhost"): "1" for job in ("node", "prometheus", "alertmanager", "relay")}
        for port in stack.ports.values():
            assert f"http://127.0.0.1:{port} " in stack.output
        (left_out,) = [line for line in stack.output.splitlines() if line.startswith("Left out: ")]
        assert all(word in left_out for word in ("Grafana", "Vault", "Docker", "Slack", "token"))
        assert stack.get("relay", "/api/v1/messages")["mode"] == "preview"
        (alertmanager,) = stack.get("prometheus", "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        assert str(stack.ports["alertmanager"]) in alertmanager["url"]


ENDS: dict[str, Callable[[Terminal], None]] = {
    "Ctrl-C": lambda stack: stack.type(b"\x03"),
    "the terminal closed": lambda stack: stack.hang_up(),
    "SIGTERM to make": lambda stack: os.kill(stack.process.pid, signal.SIGTERM),
    "SIGKILL to make": lambda stack: os.kill(stack.process.pid, signal.SIGKILL),
    "SIGTERM to the supervisor": lambda stack: os.kill(stack.supervisor(), signal.SIGTERM),
    "SIGKILL to the supervisor": lambda stack: os.kill(stack.supervisor(), signal.SIGKILL),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_whatever_ends_it_leaves_no_process_behind(running: Terminal, end: Callable[[Terminal], None]) -> None:
    parts = running.parts()
    assert set(parts) == PARTS
    mine = known([running.process.pid, running.supervisor(), *parts.values()])
    end(running)
    running.process.wait(A_FEW_SECONDS)
    until(lambda: gone(mine), f"{mine} gone; it printed:\n{running.output}", seconds=A_FEW_SECONDS)


def test_the_parts_are_stopped_in_the_order_of_the_data(running: Terminal) -> None:
    """Prometheus first: nobody is left who would report the others missing."""
    running.type(b"\x03")
    running.process.wait(A_FEW_SECONDS)
    ends = {part: (running.state / "logs" / f"{part}.log").stat().st_mtime_ns for part in PARTS}
    assert sorted(PARTS, key=ends.__getitem__) == ["prometheus", "alertmanager", "relay", "exporter"]


@pytest.mark.parametrize("part", ["relay", "prometheus"])
def test_one_part_s_death_is_told_with_its_last_lines_and_ends_the_rest(running: Terminal, part: str) -> None:
    parts = running.parts()
    mine = known([running.supervisor(), *parts.values()])
    last = (running.state / "logs" / f"{part}.log").read_text().splitlines()[-1]
    os.kill(parts[part], signal.SIGKILL)
    assert running.process.wait(A_FEW_SECONDS) == 2, "make's own exit code for a recipe that failed"
    until(lambda: "Error 1" in running.output, "make told the exit code 1")
    assert f"{part} ended by SIGKILL" in running.output.lower().replace("sigkill", "SIGKILL")
    assert str(running.state / "logs" / f"{part}.log") in running.output
    assert last in running.output
    until(lambda: gone(mine), "the rest gone", seconds=A_FEW_SECONDS)


def test_a_part_that_cannot_start_is_told_with_its_reason(tmp_path: Path, fast: Path) -> None:
    (fast / "prometheus" / "rules" / "cpu.yml").write_text("groups: [{name: x, rules: [{alert: A, expr: 'rate('}]}]\n")
    with Terminal(tmp_path / "state", fast, PYTHON_UP) as stack:
        assert stack.process.wait(30) == 1
        until(lambda: "Stopped." in stack.output, "its last word")
        assert "Prometheus ended with exit code" in stack.output
        assert "unclosed left parenthesis" in stack.output


def test_a_taken_port_is_told_and_nothing_is_started(tmp_path: Path) -> None:
    ports = free_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports["prometheus"]))
        taken.listen()
        done = subprocess.run(
            PYTHON_UP,
            cwd=ROOT,
            env=environment(tmp_path, ports),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    port = ports["prometheus"]
    assert done.stderr.startswith(f"port {port} for prometheus is taken; PROMETHEUS_PORT moves it: PROMETHEUS_PORT=")
    assert [path.name for path in tmp_path.iterdir()] == ["stack.pid"]


def test_a_second_stack_is_refused_and_down_ends_the_first(running: Terminal) -> None:
    def run(command: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, cwd=ROOT, env=running.env, capture_output=True, text=True, timeout=30, check=False
        )

    second = run(PYTHON_UP)
    assert second.returncode == 1
    assert f"a stack runs already from {running.state}" in second.stderr
    mine = known([running.supervisor(), *running.parts().values()])
    down = run(PYTHON_DOWN)
    assert (down.returncode, down.stdout) == (0, "Stopped.\n")
    assert gone(mine)
    assert "No stack runs" in run(PYTHON_DOWN).stdout
