"""Containers of a real Docker Engine: in each state, beside what `docker inspect` says; the engine killed; the cost."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.collectors.container_families import HEALTH_STATES, STATES
from exporter.collectors.containers import ContainerStates
from exporter.kernel import KernelFiles
from exporter.settings.containers import ContainersSettings
from tests.support.client import ask, request, rows, scrape, until
from tests.support.engine import Engine
from tests.support.exporter import ROOT, Child, exporter_running
from tests.support.trees import series

pytestmark = [pytest.mark.needs("docker-engine"), pytest.mark.slow]

Rows = dict[str, dict[tuple[str, ...], float]]
"""Values by family, and there by the labels but `name` and `image`."""


@pytest.fixture
def clean(engine: Engine) -> Iterator[Engine]:
    """Give the engine; remove at the end what the test made."""
    yield engine
    names = engine.run("ps", "--all", "--quiet").split()
    if names:
        engine.run("rm", "--force", "--volumes", *names)


def collector_of(engine: Engine) -> ContainerStates:
    return ContainerStates(KernelFiles(), ContainersSettings(socket=str(engine.socket)))


def run(engine: Engine, name: str, script: str = "sleep 3600", *options: str) -> str:
    """Start a container of the tiny image in the background; return its name."""
    engine.run("run", "--detach", "--name", name, *options, engine.tiny_image(), "/bin/sh", "-c", script)
    return name


def shown(engine: Engine) -> dict[str, str]:
    """Return state and sentence of each container, as `docker ps` has them."""
    lines = engine.run("ps", "--all", "--format", "{{.Names}}\t{{.State}} {{.Status}}").splitlines()
    return dict(line.split("\t", 1) for line in lines)


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(engine.run("inspect", name))
    return found[0]


def _moment(text: str) -> float | None:
    moment = datetime.fromisoformat(text)
    return None if moment.year == 1 else moment.timestamp()


def expected(engine: Engine, name: str) -> Rows:
    """Return the rows that a container should have, from what `docker inspect` says."""
    told = inspected(engine, name)
    state = told["State"]
    wanted: Rows = {
        "state": {(one,): float(one == state["Status"]) for one in STATES},
        "oom_killed": {(): float(state["OOMKilled"])},
        "restarts_total": {(): told["RestartCount"]},
        "info": {(told["Config"]["Image"].rpartition(":")[2],): 1.0},
    }
    if state["Status"] in ("exited", "dead"):
        wanted["exit_code"] = {(): state["ExitCode"]}
    if state["Status"] == "running" and "Health" in state:
        wanted["health"] = {(one,): float(one == state["Health"]["Status"]) for one in HEALTH_STATES}
    if told["HostConfig"]["Memory"]:
        wanted["memory_limit_bytes"] = {(): told["HostConfig"]["Memory"]}
    for family, key in (("started", "StartedAt"), ("finished", "FinishedAt")):
        if (moment := _moment(state[key])) is not None:
            wanted[f"{family}_timestamp_seconds"] = {(): moment}
    return wanted


def found(block: bytes, container: str) -> Rows:
    """Return the rows that a page has of a container, but for those that its creation and its use of CPU give."""
    rows: Rows = {}
    for (family, labels), value in series(block).items():
        by = dict(labels)
        if by.pop("name") == container:
            by.pop("image", None)
            rows.setdefault(family.removeprefix("host_container_"), {})[tuple(by.values())] = value
    for family in ("created_timestamp_seconds", "cpu_seconds_total", "memory_usage_bytes", "oom_kills_total"):
        rows.pop(family, None)
    return rows


def check(engine: Engine, collector: ContainerStates, name: str, is_so: Callable[[str], bool]) -> Rows:
    """Wait until `docker ps` shows it, scrape once, and compare with `docker inspect`; return the rows.

    What changes all the time is compared where `docker inspect` said the same before and after the scrape.
    """
    until(lambda: is_so(shown(engine).get(name, "")), f"docker ps shows {name} so", seconds=30)
    deadline = time.monotonic() + 20
    while True:
        before = expected(engine, name)
        rows = found(collector.collect(), name)
        if before == expected(engine, name):
            break
        assert time.monotonic() < deadline, "it never stands still"
    assert rows.keys() == before.keys()
    for family, values in before.items():
        assert rows[family] == pytest.approx(values, abs=0.001), family
    return rows


def values(block: bytes, family: str) -> dict[str, float]:
    """Return a family's values by the container's name."""
    return {dict(labels)["name"]: value for (name, labels), value in series(block).items() if name == family}


def is_in(rows: Rows) -> str:
    """Return the state whose row is 1."""
    (state,) = [key[0] for key, value in rows["state"].items() if value]
    return state


@pytest.fixture
def collector(clean: Engine) -> ContainerStates:
    """Return a collector that has looked twice: what changes from now on, events have to tell."""
    run(clean, "bystander")
    collector = collector_of(clean)
    collector.collect()
    collector.collect()
    return collector


def test_running_paused_stopped_started_and_removed(clean: Engine, collector: ContainerStates) -> None:
    engine, name = clean, "changing"
    engine.run("create", "--name", "made", engine.tiny_image(), "/bin/sh", "-c", "sleep 3600")
    assert is_in(check(engine, collector, "made", lambda text: text.startswith("created"))) == "created"
    engine.run("rename", "made", name)
    assert not found(collector.collect(), "made")
    rows = check(engine, collector, name, lambda text: text.startswith("created"))
    assert is_in(rows) == "created"
    assert not rows.keys() & {"started_timestamp_seconds", "finished_timestamp_seconds", "exit_code"}
    engine.run("start", name)
    assert is_in(check(engine, collector, name, lambda text: text.startswith("running"))) == "running"
    engine.run("pause", name)
    assert is_in(check(engine, collector, name, lambda text: text.startswith("paused"))) == "paused"
    engine.run("unpause", name)
    assert is_in(check(engine, collector, name, lambda text: text.startswith("running"))) == "running"
    engine.run("kill", name)
    rows = check(engine, collector, name, lambda text: text.startswith("exited"))
    assert (rows["exit_code"], rows["oom_killed"]) == ({(): 137}, {(): 0})
    engine.run("start", name)
    rows = check(engine, collector, name, lambda text: text.startswith("running"))
    assert rows["started_timestamp_seconds"][()] > rows["finished_timestamp_seconds"][()]
    engine.run("restart", "--time", "0", name)  # running before and after: only an event can tell
    again = check(engine, collector, name, lambda text: text.startswith("running"))
    assert again["started_timestamp_seconds"][()] > rows["started_timestamp_seconds"][()]
    engine.run("update", "--memory", "64m", "--memory-swap", "64m", name)
    assert check(engine, collector, name, bool)["memory_limit_bytes"] == {(): 64 << 20}
    engine.remove(name)
    block = collector.collect()
    assert not found(block, name)
    assert is_in(found(block, "bystander")) == "running"


@pytest.mark.parametrize("code", [0, 3, 137])
def test_exit_code(clean: Engine, collector: ContainerStates, code: int) -> None:
    name = run(clean, "ended", f"exit {code}")
    rows = check(clean, collector, name, lambda text: text.startswith(f"exited Exited ({code})"))
    assert rows["exit_code"] == {(): code}
    assert rows["oom_killed"] == {(): 0}


def test_out_of_memory(clean: Engine, collector: ContainerStates) -> None:
    limits = ("--memory", "8m", "--memory-swap", "8m")
    eat = "dd if=/dev/zero of=/dev/null bs=64M count=1"
    survivor = run(clean, "survivor", f"{eat}; sleep 3600", *limits)
    # the engine itself misses it now and then where the container ends in the same moment
    for number in range(5):
        name = run(clean, f"hungry{number}", f"{eat}; sleep 0.5; exit 137", *limits)
        rows = check(clean, collector, name, lambda text: text.startswith("exited"))
        told = inspected(clean, name)["State"]["OOMKilled"]
        assert rows["exit_code"] == {(): 137}
        assert rows["oom_killed"] == {(): int(told)}
        if told:
            break
    assert told, "the engine saw none of five"
    assert rows["memory_limit_bytes"] == {(): 8 << 20}
    kills = values(collector.collect(), "host_container_oom_kills_total")
    assert kills == {"bystander": 0, survivor: 1}, "of a container that ended there is no group any more"


def test_crash_loop(clean: Engine, collector: ContainerStates) -> None:
    name = run(clean, "loop", "exit 1", "--restart", "always")
    rows = check(clean, collector, name, lambda text: text.startswith("restarting"))
    until(lambda: inspected(clean, name)["RestartCount"] >= 4, "some restarts", seconds=20)
    later = check(clean, collector, name, lambda text: text.startswith("restarting"))
    assert later["restarts_total"][()] > rows["restarts_total"][()]


def test_health(clean: Engine, collector: ContainerStates) -> None:
    options = ("--health-cmd", "test -e /tmp/well", "--health-interval", "300ms", "--health-retries", "2")
    name = run(clean, "patient", "sleep 3600", *options, "--health-start-period", "1h")
    rows = check(clean, collector, name, lambda text: "(health: starting)" in text)
    assert rows["health"] == {("starting",): 1, ("healthy",): 0, ("unhealthy",): 0}
    clean.run("exec", name, "touch", "/tmp/well")
    rows = check(clean, collector, name, lambda text: "(healthy)" in text)
    assert rows["health"] == {("starting",): 0, ("healthy",): 1, ("unhealthy",): 0}
    clean.run("exec", name, "rm", "/tmp/well")
    rows = check(clean, collector, name, lambda text: "(unhealthy)" in text)
    assert rows["health"] == {("starting",): 0, ("healthy",): 0, ("unhealthy",): 1}
    clean.run("kill", name)
    assert "health" not in check(clean, collector, name, lambda text: text.startswith("exited"))


def test_image_keeps_its_name_when_its_tag_moves_on(clean: Engine) -> None:
    engine = clean
    engine.run("tag", engine.tiny_image(), "hostwatch-test/moving:1")
    engine.run("run", "--detach", "--name", "older", "hostwatch-test/moving:1")
    by_id = engine.run("images", "--quiet", "--no-trunc", "hostwatch-test/moving:1").strip()
    engine.run("run", "--detach", "--name", "nameless", by_id)
    changed = engine.run("commit", "--message", "another", "older").strip()
    engine.run("tag", changed, "hostwatch-test/moving:1")
    block = collector_of(engine).collect()
    assert b'host_container_info{name="older",image="hostwatch-test/moving",version="1"} 1\n' in block
    assert re.search(rb'host_container_info{name="nameless",image="<none>",version="sha256:[0-9a-f]{12}"} 1\n', block)


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def _stats(engine: Engine, name: str) -> dict[str, Any]:
    """Return what the engine itself measures, which takes it a while."""
    connection = _OverSocket(engine.socket)
    connection.request("GET", f"/v1.41/containers/{name}/stats?stream=false&one-shot=true")
    stats: dict[str, Any] = json.load(connection.getresponse())
    connection.close()
    return stats


def _used(engine: Engine, name: str) -> tuple[float, float]:
    """Return CPU seconds and bytes of memory, reckoned as `docker stats` does."""
    stats = _stats(engine, name)
    memory = stats["memory_stats"]
    inactive = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file"))
    return stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, memory["usage"] - inactive


@pytest.mark.measured
def test_cpu_and_memory_are_what_the_engine_measures(clean: Engine, collector: ContainerStates) -> None:
    busy = run(clean, "busy", "x=$(dd if=/dev/zero bs=4M count=1 | tr '\\0' y); while :; do :; done", "--memory", "64m")
    until(lambda: _used(clean, busy)[0] > 0.3 and _used(clean, busy)[1] > 4_000_000, "it works", seconds=30)
    before = _used(clean, busy)
    block = collector.collect()
    after = _used(clean, busy)
    seconds = sum(
        value for (name, by), value in series(block).items() if "cpu_seconds" in name and ("name", busy) in by
    )
    assert before[0] - 0.03 <= seconds <= after[0] + 0.03  # cpuacct.stat counts in hundredths
    (use,) = [use for use in collector.last if use.name == busy]
    assert use.cpu_seconds_total == pytest.approx(seconds)
    assert use.memory_bytes is not None
    assert min(before[1], after[1]) - 1_000_000 <= use.memory_bytes <= max(before[1], after[1]) + 1_000_000
    clean.run("pause", busy)
    paused = found_use(collector, busy)
    assert paused == found_use(collector, busy), "a paused container uses no CPU"


def found_use(collector: ContainerStates, name: str) -> float | None:
    collector.collect()
    return next(use.cpu_seconds_total for use in collector.last if use.name == name)


_IN_A_NAMESPACE = """
import sys
from exporter.collectors.cgroups import Groups
from exporter.kernel import KernelFiles
container, pid = sys.argv[1], int(sys.argv[2])
print(open(f"/proc/{pid}/cgroup").read().count("/.."))
print(Groups(KernelFiles()).read([(container, pid)])[container].memory_bytes > 0)
"""


@pytest.fixture
def own_group() -> Iterator[list[Path]]:
    """Make a control group in every hierarchy; give the files that take its processes."""
    top = Path("/sys/fs/cgroup")
    roots = [top] if (top / "cgroup.procs").exists() else [path.parent for path in top.glob("*/cgroup.procs")]
    groups = [root / f"hostwatch-view-{os.getpid()}" for root in roots if not root.is_symlink()]
    for group in groups:
        group.mkdir()
    yield [group / "cgroup.procs" for group in groups if group.parent.name != "cpuset"]  # which wants CPUs first
    for group in groups:
        group.rmdir()


@pytest.mark.needs("linux")
def test_exporter_in_a_cgroup_namespace_of_its_own_finds_the_groups(clean: Engine, own_group: list[Path]) -> None:
    told = inspected(clean, run(clean, "seen"))
    enter = " && ".join(f"echo $$ > {path}" for path in own_group)
    program = [sys.executable, "-c", _IN_A_NAMESPACE, told["Id"], str(told["State"]["Pid"])]
    script = f'{enter} && exec unshare --cgroup "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", *program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    relative, is_found = done.stdout.split()
    assert int(relative) > 0, "seen from there, the paths lead out of the namespace"
    assert is_found == "True"


def _config(folder: Path, socket_path: Path, *, enabled: bool = True) -> str:
    path = folder / f"exporter-{enabled}.yml"
    path.write_text(f"collectors: {{containers: {{enabled: {str(enabled).lower()}, socket: {socket_path}}}}}\n")
    return str(path)


def _success(page: str) -> float:
    return rows(page)['node_scrape_collector_success{collector="containers"}']


def kill(engine: Engine) -> None:
    """Kill dockerd and the containerd that it started: what a service manager does to both."""
    containerd = engine.folder / "exec/containerd/containerd.pid"
    pid = int(containerd.read_text())
    os.kill(engine._process.pid, signal.SIGKILL)
    engine._process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    containerd.unlink()  # whoever inherits it may be late to reap it, and dockerd would wait for it


def ours(child: Child) -> str:
    """Return the page of this collector alone: others start threads when they need some."""
    return ask(child.port, request("/metrics?collect[]=containers", "Connection: close")).body.decode()


def test_engine_killed_and_started_again_while_its_events_are_followed(tmp_path: Path) -> None:
    with Engine() as engine, exporter_running("--config", _config(tmp_path, engine.socket)) as child:
        run(engine, "first", "sleep 3600", "--stop-signal", "KILL")
        until(lambda: 'name="first"' in ours(child), "the container")
        held = []
        for _ in range(3):
            kill(engine)
            for _ in range(5):
                page = ours(child)
                assert "host_container_" not in page
                assert _success(page) == 0
            engine._start()
            until(lambda: _success(ours(child)) == 1, "it recovers by itself", seconds=20)
            engine.run("start", "first")  # an engine that was killed ends its containers when it comes back
            run(engine, "another", "exit 3")
            until(lambda: "Exited (3)" in shown(engine)["another"], "its end")
            page = ours(child)
            assert 'host_container_exit_code{name="another"} 3' in page
            assert re.search(r'host_container_state{name="first",[^}]*state="running"} 1', page)
            engine.remove("another")
            assert 'name="another"' not in ours(child)
            held.append((child.open_files, child.threads))
        # a connection of ours that is being closed counts a moment longer
        until(lambda: child.open_files <= min(files for files, _ in held), "no file leaks")
        assert child.threads - held[0][1] < 2, "no thread leaks; others may have started one of theirs"


def _cpu(child: Child) -> float:
    """Return the CPU seconds of a process, all threads together: clock_getcpuclockid(3)."""
    return time.clock_gettime((~child.pid << 3) | 2)


def _cost(child: Child, scrapes: int) -> float:
    start = _cpu(child)
    for _ in range(scrapes):
        scrape(child.port)
    return (_cpu(child) - start) / scrapes


@pytest.mark.measured
def test_fifty_containers_cost_less_than_three_milliseconds_a_scrape(
    clean: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("COV")]:  # to be measured takes longer than to work
        monkeypatch.delenv(name)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: run(clean, f"web{number:02}"), range(50)))
    with (
        exporter_running("--config", _config(tmp_path, clean.socket)) as ours,
        exporter_running("--config", _config(tmp_path, clean.socket, enabled=False)) as without,
    ):
        until(lambda: scrape(ours.port).count("host_container_memory_usage_bytes{") == 50, "all are there")
        _cost(without, 20)
        more = min(_cost(ours, 40) - _cost(without, 40) for _ in range(5))
    print(f"{more * 1000:.2f} ms more of CPU a scrape")
    assert more < 0.003
