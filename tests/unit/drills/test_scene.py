"""What one drill brings along is gone when it is cleared, whatever its processes hide."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.drills import ledger
from exporter.drills import scene as scenes
from exporter.drills.faults.network import NetworkLatency
from exporter.drills.scene import Scene, SceneError
from tests.support.client import until
from tests.support.sites import site_of

# its environment, and with it the mark, is gone: to whoever is not root, a relay that is not dumpable looks like this
HIDDEN = ["env", "-i", "sleep", "60"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene("test", site_of(tmp_path), ledger.Ledger(tmp_path / "a.ledger", ledger.own_head("a")))
    made.open()
    return made


def is_gone(pid: int) -> bool:
    return ledger.start_time(pid) is None


def test_process_that_hides_its_environment_is_ended(scene: Scene) -> None:
    pid = scene.start("hidden", HIDDEN)
    assert scene.clear() == []
    assert is_gone(pid)
    assert not scene.folder.exists()
    assert scene.clear() == []


def test_ledger_finds_it_without_the_drill(scene: Scene, tmp_path: Path) -> None:
    from exporter.drills.undo import undo_ledger

    pid = scene.start("hidden", HIDDEN)
    assert undo_ledger(tmp_path / "a.ledger") == []
    assert is_gone(pid)
    assert scene.clear() == []


def test_group_of_a_process_is_ended_with_it(scene: Scene) -> None:
    command = ["env", "-i", sys.executable, "-S", "-c", "import os, time; print(os.fork(), flush=True); time.sleep(60)"]
    scene.start("pair", command)
    log = scene.folder / "pair.log"
    until(lambda: len(log.read_text().split()) == 2, "both are there")
    pids = [int(text) for text in log.read_text().split() if text != "0"]
    assert scene.clear() == []
    until(lambda: all(map(is_gone, pids)), "both are gone")


def test_process_that_does_not_end_is_told_and_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = scene.start("stuck", ["sleep", "60"])
    monkeypatch.setattr(scenes, "_GONE_SECONDS", 0.1)
    # as one in a system call that never returns
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    monkeypatch.setattr(scenes.undo, "undo", lambda _: [])
    monkeypatch.setattr(subprocess.Popen, "send_signal", lambda *_: None)
    with pytest.raises(SceneError, match=r"stuck .* does not end"):
        scene.kill("stuck")
    assert scene.clear() == [f"process {pid} does not end; kill -9 it"]
    monkeypatch.undo()
    os.kill(pid, signal.SIGKILL)
    assert scene.clear() == []


def test_program_that_takes_too_long_is_ended(scene: Scene) -> None:
    with pytest.raises(SceneError, match="timed out"):
        scene.run([*HIDDEN[:2], "sleep", "59"], seconds=0.05)
    assert scene.clear() == []
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if "sleep\059\0" in read(one)]


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def test_nothing_is_begun_once_the_ledger_is_gone(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "a.ledger").unlink()
    with pytest.raises(ledger.GoneError, match="undone already"):
        scene.register("node", 1)
    assert not list((tmp_path / "targets").rglob("*.yml"))
    assert not (tmp_path / "a.ledger").exists()


def test_network_of_its_own_listens_where_prometheus_is_told(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    scene.site = msgspec.structs.replace(
        scene.site, options=msgspec.structs.replace(scene.site.options, address="192.0.2.9")
    )
    started: list[list[str]] = []
    monkeypatch.setattr(Scene, "start", lambda _, name, command: started.append(command))
    NetworkLatency().stage(scene)
    (command,) = started
    at = command.index("exporter.drills.namespace")
    assert command[at + 1] == "192.0.2.9"
    (file,) = (tmp_path / "targets" / "node").iterdir()
    assert f"192.0.2.9:{command[at + 2]}" in file.read_text()
    scene.clear()
