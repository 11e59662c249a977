"""Whatever ends a drill, the machine is as before: kill -9 at any instant, signals, a terminal that goes, `halt`."""

import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.drills import ledger, processes, undo
from tests.support.client import until
from tests.support.engine import Engine
from tests.support.fake_pipeline import FakePipeline

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "root", "stress-ng", "openssl")]

# a process that is stopped, a file system that is full, one that stress-ng writes to, and a network of its own
DRILLS = ("service-hung", "disk-fill", "disk-io", "network-latency")
UNDONE_SECONDS = 1.0


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[FakePipeline]:
    with FakePipeline(tmp_path / "targets") as running:
        yield running


class Started:
    """A drill in a process of its own, and all that it ever wrote down."""

    def __init__(
        self,
        pipeline: FakePipeline,
        state: Path,
        drills: tuple[str, ...] = DRILLS,
        before: tuple[str, ...] = (),
        docker: tuple[str, ...] = (),
        **how: object,
    ) -> None:
        self.state, self.drills = state, drills
        self._before = frozenset(surroundings())
        self.seen: set[ledger.Entry] = set()
        self.head: ledger.Head | None = None
        where = [*pipeline.options(state), *docker]
        options = [*where, "--gentle", "run", *drills, f"--at-once={len(drills)}", "--yes"]
        self.log = state.with_suffix(".log")
        with self.log.open("wb") as log:
            given = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **how}
            command = [*before, sys.executable, "-m", "exporter", "drill", *options]
            self.process = subprocess.Popen(command, **given)  # type: ignore[call-overload]

    def look(self) -> None:
        """Read the ledger as it is now."""
        for path in ledger.ledgers(self.state):
            try:
                self.head, entries = ledger.read_ledger(path)
            except (FileNotFoundError, ledger.LedgerError):
                continue
            self.seen |= set(entries)

    def watch(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            self.look()
            time.sleep(0.005)

    def until_broken(self) -> None:
        """Wait until every fault is there."""

        def broken() -> bool:
            self.look()
            assert self.process.poll() is None, self.log.read_text()
            return self.log.read_text().count(": broken") == len(self.drills)

        until(broken, "all is broken", seconds=60)

    def left(self) -> list[str]:
        """Return what is still there of all that was ever written down."""
        out = []
        for entry in self.seen:
            match entry:
                case ledger.Processes():
                    out += [f"process {pid}" for pid in processes.marked(entry.mark)]
                case ledger.Session():
                    out += [f"process {pid}" for pid in processes.members(entry)]
                case ledger.Mount():
                    out += [entry.path] if undo.is_mounted(entry.path) else []
                case ledger.File() | ledger.Folder():
                    out += [entry.path] if Path(entry.path).exists() else []
                case ledger.Container() | ledger.Image():
                    out += [entry.name] if entry.name in engine_has(entry.socket) else []
        out += sorted(surroundings() - self._before)
        out += [str(path) for path in ledger.ledgers(self.state)]
        return out + [str(path) for path in self.state.glob("drill-*")] + loops(self.state)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def surroundings() -> set[str]:
    """Return this machine's mount points, network devices and control groups that are, by their names, a drill's."""
    mounts = {line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    devices = {path.name for path in Path("/sys/class/net").iterdir()}
    groups = {str(path) for path in Path("/sys/fs/cgroup").rglob("*drill*") if path.is_dir()}
    return {one for one in mounts | devices if "drill" in one} | groups


def engine_has(socket: str) -> set[str]:
    """Return the names of all containers and images of an engine."""
    out: set[str] = set()
    for what in (("ps", "--all", "--format={{.Names}}"), ("images", "--format={{.Repository}}:{{.Tag}}")):
        command = ["docker", f"--host=unix://{socket}", *what]
        out |= set(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split())
    return out


def loops(state: Path) -> list[str]:
    """Return the loop devices of files below a folder."""
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [str(file) for file in files if file.exists() and str(state) in file.read_text()]


def halted(pipeline: FakePipeline, state: Path) -> str:
    command = [sys.executable, "-m", "exporter", "drill", *pipeline.options(state), "halt"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.measured
@pytest.mark.soak(100, 5)
def test_kill_9_at_any_instant_is_undone_within_a_second(pipeline: FakePipeline, tmp_path: Path, count: int) -> None:
    moments = random.Random(20261121)
    took = []
    for number in range(count):
        drill = Started(pipeline, tmp_path / f"state{number}")
        try:
            drill.watch(0.3 + moments.random() * 3.5)
            # the ledger of this moment, and what comes between it and the kill, is what counts
            drill.look()
        finally:
            drill.end()
        began = time.monotonic()
        drill.look()
        while (left := drill.left()) and time.monotonic() < began + 30:
            time.sleep(0.01)
        assert not left, f"{number}: {drill.log.read_text()}"
        took.append(time.monotonic() - began)
        assert halted(pipeline, drill.state) == "nothing to undo\n"
        assert not list((tmp_path / "targets").rglob("*.yml"))
    assert max(took) < UNDONE_SECONDS, f"{sorted(took)}"


def test_kill_9_with_every_fault_in_place(pipeline: FakePipeline, tmp_path: Path) -> None:
    drill = Started(pipeline, tmp_path / "state")
    try:
        drill.until_broken()
        assert len(drill.left()) > 10, "there is something to undo"
    finally:
        drill.end()
    until(lambda: not drill.left(), "all is undone", seconds=30)


@pytest.mark.needs("docker-engine")
@pytest.mark.soak(20, 2)
def test_kill_9_of_drills_with_containers(pipeline: FakePipeline, engine: Engine, tmp_path: Path, count: int) -> None:
    moments = random.Random(20261121)
    drills = ("container-failed", "container-gone", "container-oom")
    docker = (f"--docker={engine.socket}",)
    for number in range(count):
        drill = Started(pipeline, tmp_path / f"state{number}", drills, docker=docker)
        try:
            if number == 0:
                drill.until_broken()
                names = {one.name for one in drill.seen if isinstance(one, ledger.Container | ledger.Image)}
                assert len(names) >= len(drills), "there is something to undo"
            else:
                drill.watch(1 + moments.random() * 5)
                drill.look()
        finally:
            drill.end()
        drill.look()
        until(lambda drill=drill: not drill.left(), "all is undone", seconds=30)
        assert halted(pipeline, drill.state) == "nothing to undo\n"


@pytest.mark.measured
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signal_ends_it_in_order(pipeline: FakePipeline, tmp_path: Path, number: signal.Signals) -> None:
    drill = Started(pipeline, tmp_path / "state")
    try:
        drill.until_broken()
        drill.process.send_signal(number)
        began = time.monotonic()
        drill.process.send_signal(number)  # impatience changes nothing
        until(lambda: not drill.left(), "all is undone", seconds=30, every=0.01)
        took = time.monotonic() - began
        assert drill.process.wait(60) == 3
    finally:
        drill.end()
    print(f"undone after {took:.2f} s")
    assert took < UNDONE_SECONDS
    assert f"stopped by {number.name}" in drill.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_relay_that_only_root_may_look_into_is_ended(
    pipeline: FakePipeline, tmp_path: Path, number: signal.Signals
) -> None:
    # what a drill of somebody else than root may see of its own relay
    blind = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")
    drill = Started(pipeline, tmp_path / "state", ("vault-sealed",), blind)
    try:
        until(lambda: "vault-sealed: broken" in drill.log.read_text(), "it is broken", seconds=60)
        drill.look()
        relays = [one for one in drill.seen if isinstance(one, ledger.Session)]
        assert len(relays) >= 3, "the relay, and what stands for Vault and Slack"
        drill.process.send_signal(number)
        assert drill.process.wait(60) == (3 if number == signal.SIGINT else -number)
    finally:
        drill.end()
    until(lambda: not drill.left(), "all is undone", seconds=30)


def test_terminal_that_is_closed_undoes_it(pipeline: FakePipeline, tmp_path: Path) -> None:
    master, slave = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    drill = Started(pipeline, tmp_path / "state", preexec_fn=own_terminal)
    try:
        os.close(slave)
        drill.until_broken()
        os.close(master)
        assert drill.process.wait(60) == 3
    finally:
        drill.end()
    assert drill.left() == []


def test_halt_ends_a_drill_that_runs(pipeline: FakePipeline, tmp_path: Path) -> None:
    drill = Started(pipeline, tmp_path / "state")
    try:
        drill.until_broken()
        assert halted(pipeline, drill.state) == "1 undone\n"
        drill.process.wait(60)
    finally:
        drill.end()
    assert drill.left() == []


def test_halt_undoes_what_a_machine_that_lost_power_left(pipeline: FakePipeline, tmp_path: Path) -> None:
    state, target = tmp_path / "state", tmp_path / "targets" / "node" / "hostwatch-drill-x.yml"
    state.mkdir()
    book = ledger.Ledger(state / "a.ledger", ledger.Head("a", os.getpid(), 1, "another boot"))
    book.add(ledger.File(str(target)))
    target.touch()
    assert halted(pipeline, state) == "1 undone\n"
    assert not target.exists()
    assert halted(pipeline, state) == "nothing to undo\n"


def test_lifeline_that_is_killed_takes_the_drill_with_it(pipeline: FakePipeline, tmp_path: Path) -> None:
    drill = Started(pipeline, tmp_path / "state")
    try:
        drill.until_broken()
        pid = drill.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        (lifeline,) = (int(one) for one in children if "drills.lifeline" in Path(f"/proc/{one}/cmdline").read_text())
        os.kill(lifeline, signal.SIGKILL)
        assert drill.process.wait(60) == 3
    finally:
        drill.end()
    assert drill.left() == []
