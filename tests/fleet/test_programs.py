"""The programs that the roles run: archives, files of targets, and a machine's changes, without any machine."""

import hashlib
import importlib.util
import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.playbooks import ANSIBLE

UNIT = "hostwatch-exporter.service"


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ANSIBLE / "roles" / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- files on Prometheus' machine


@pytest.fixture
def register(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, list[str]]]:
    module = load("hostwatch_exporter/files/register.py")

    def run(files: dict[Path, str | None], *arguments: str) -> dict[str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["register.py", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({str(path): text for path, text in files.items()})))
        module.main()
        answer: dict[str, list[str]] = json.loads(capsys.readouterr().out)
        return answer

    return run


def test_target_is_written_once_and_readable(register: Callable[..., dict[str, list[str]]], tmp_path: Path) -> None:
    path = tmp_path / "node" / "web-01.yml"
    assert register({path: "a\n"}) == {
        "changed": [str(path)],
        "diff": [f"--- before: {path}", f"+++ after: {path}", "@@ -0,0 +1 @@", "+a"],
    }
    assert path.read_text() == "a\n"
    assert path.stat().st_mode & 0o777 == 0o644
    written = path.stat().st_mtime_ns
    assert register({path: "a\n"}) == {"changed": [], "diff": []}
    assert path.stat().st_mtime_ns == written
    assert [name.name for name in path.parent.iterdir()] == ["web-01.yml"]


def test_check_writes_and_removes_nothing(register: Callable[..., dict[str, list[str]]], tmp_path: Path) -> None:
    there, new = tmp_path / "there.yml", tmp_path / "folder" / "new.yml"
    there.write_text("old\n")
    assert register({there: None, new: "x\n"}, "--check")["changed"] == [str(there), str(new)]
    assert there.read_text() == "old\n"
    assert not new.parent.exists()


def test_null_removes_a_file_and_is_content_without_one(
    register: Callable[..., dict[str, list[str]]], tmp_path: Path
) -> None:
    path = tmp_path / "web-01.yml"
    path.write_text("x\n")
    assert register({path: None})["changed"] == [str(path)]
    assert not path.exists()
    assert register({path: None})["changed"] == []


# --- archives


def test_archive_is_the_same_for_the_same_wheels_and_has_their_hashes(tmp_path: Path) -> None:
    module = load("hostwatch_release/files/wheelhouse.py")
    for name in ("b_c-2.0-py3-none-any.whl", "a-1.0-cp311-cp311-linux_x86_64.whl"):
        (tmp_path / name).write_text(name)
    first = module._archive(tmp_path)
    os.utime(tmp_path / "b_c-2.0-py3-none-any.whl", (1, 1))
    assert module._archive(tmp_path) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        requirements = tar.extractfile("requirements.txt")
        assert requirements is not None
        hashes = [
            hashlib.sha256(name.encode()).hexdigest()
            for name in ("a-1.0-cp311-cp311-linux_x86_64.whl", "b_c-2.0-py3-none-any.whl")
        ]
        assert requirements.read().decode() == f"a==1.0 --hash=sha256:{hashes[0]}\nb_c==2.0 --hash=sha256:{hashes[1]}\n"


@pytest.mark.parametrize(
    ("python", "machine"), [("3", "x86_64"), ("3.11; rm", "x86_64"), ("3.11", "../x"), ("2.7", "x86_64")]
)
def test_odd_machines_are_refused(tmp_path: Path, python: str, machine: str) -> None:
    module = load("hostwatch_release/files/wheelhouse.py")
    with pytest.raises(module.WheelhouseError, match="expected a Python such as"):
        module.make(tmp_path, tmp_path, python, machine)


def test_tree_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    module = load("hostwatch_release/files/wheelhouse.py")
    with pytest.raises(module.WheelhouseError, match=r"exporter: No such file.*is .* a tree of hostwatch"):
        module.make(tmp_path, tmp_path / "out", "3.11", "x86_64")


# --- a machine's changes


class FakeSystemd:
    """What systemctl would say and do of one unit."""

    def __init__(self) -> None:
        self.unit = {"ActiveState": "inactive", "UnitFileState": "", "LoadState": "loaded", "MainPID": "1"}
        self.unit["ExecMainStartTimestamp"] = "Sat 2026-11-21 16:00:00 UTC"
        self.commands: list[str] = []
        self.starts = True

    def run(self, *command: str) -> str:
        if command[:2] == ("systemctl", "show"):
            return self.unit.get(command[3], "")
        if command[0] == "date":
            return "1795276800"
        self.commands.append(" ".join(command[:2]))
        if command[:2] == ("systemctl", "enable"):
            self.unit["UnitFileState"] = "enabled"
        if command[:2] == ("systemctl", "disable"):
            self.unit["UnitFileState"] = "disabled"
        return ""

    def start(self, unit: str) -> None:
        self.commands.append("start")
        self.unit["ActiveState"] = "active" if self.starts else "failed"
        if not self.starts:
            raise self.error(f"{unit} does not start")

    error: type[Exception] = Exception


class Box:
    """The program with a root, a folder of changes under way and a systemd of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.settings = folder / "opt", folder / "exporter.yml"
        monkeypatch.setenv("HOSTWATCH_DEPLOY_ROOT", str(self.root))
        monkeypatch.setenv("HOSTWATCH_DEPLOY_RUN", str(folder / "run"))
        self.program = load("hostwatch_release/files/deploy.py")
        self.systemd = FakeSystemd()
        self.systemd.error = self.program.DeployError
        monkeypatch.setattr(self.program, "_run", self.systemd.run)
        monkeypatch.setattr(self.program, "_start", self.systemd.start)
        monkeypatch.setattr(self.program, "_disarm", lambda unit: None)
        monkeypatch.setattr(self.program.subprocess, "run", lambda command, **options: self.systemd.run(*command))
        self.wanted = {"unit": UNIT, "seconds": 300, "files": [str(self.settings)], "folders": [], "user": "root"}

    def begin(self) -> dict[str, object]:
        found: dict[str, object] = self.program.begin(json.dumps(self.wanted))
        return found

    def install(self, release: str) -> None:
        (self.root / release).mkdir(parents=True)
        (self.root / release / ".whole").touch()

    def roll_out(self, release: str, text: str) -> None:
        self.begin()
        if not (self.root / release).exists():
            self.install(release)
        self.settings.write_text(text)
        self.program.activate(UNIT, release, "http://h1:10101/metrics")
        self.program.keep(UNIT, str(self.settings))

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.is_symlink())


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    return Box(tmp_path, monkeypatch)


def test_what_was_put_in_force_is_settled(box: Box) -> None:
    assert box.begin()["settled"] is False
    box.roll_out("1-a", "listen: :1\n")
    found = box.begin()
    assert (found["settled"], found["release"], found["url"]) == (True, "1-a", "http://h1:10101/metrics")
    assert (found["recovered"], found["made"]) == (False, [])


@pytest.mark.parametrize("change", ["settings", "state", "link"])
def test_what_differs_from_what_was_put_in_force_is_not_settled(box: Box, change: str) -> None:
    box.roll_out("1-a", "listen: :1\n")
    if change == "settings":
        box.settings.write_text("listen: :2\n")
    elif change == "state":
        box.systemd.unit["ActiveState"] = "failed"
    else:
        (box.root / "current").unlink()
        (box.root / "current").symlink_to("0-z")
    assert box.begin()["settled"] is False


def test_undo_restores_files_links_and_the_running_unit(box: Box) -> None:
    box.roll_out("1-a", "listen: :1\n")
    box.begin()
    box.install("2-b")
    box.settings.write_text("listen: :2\n")
    box.program.activate(UNIT, "2-b", "http://h1:2/metrics")
    box.systemd.commands.clear()
    assert box.program.undo(UNIT) == {"changed": True, "release": "1-a", "active": True}
    assert box.settings.read_text() == "listen: :1\n"
    assert box.systemd.commands == ["systemctl daemon-reload", "start"]
    assert box.begin()["settled"] is True
    assert box.program.undo(UNIT)["changed"] is False


def test_undo_of_a_first_rollout_leaves_nothing_that_runs(box: Box) -> None:
    box.begin()
    box.install("1-a")
    box.settings.write_text("listen: :1\n")
    box.program.activate(UNIT, "1-a", "http://h1:1/metrics")
    assert box.program.undo(UNIT)["release"] == ""
    assert not box.settings.exists()
    assert not (box.root / "current").is_symlink()
    assert "systemctl stop" in box.systemd.commands
    assert box.systemd.unit["UnitFileState"] == "disabled"


def test_undo_of_a_change_that_changed_nothing_restarts_nothing(box: Box) -> None:
    box.roll_out("1-a", "listen: :1\n")
    box.begin()
    box.systemd.commands.clear()
    assert box.program.undo(UNIT)["changed"] is False
    assert box.systemd.commands == []


def test_change_that_was_cut_off_is_undone_by_the_next_run(box: Box) -> None:
    box.roll_out("1-a", "listen: :1\n")
    box.begin()
    box.settings.write_text("listen: :2\n")
    found = box.begin()
    assert (found["recovered"], found["settled"]) == (True, True)
    assert box.settings.read_text() == "listen: :1\n"


def test_only_the_release_in_use_and_the_one_before_stay(box: Box) -> None:
    for release in ("1-a", "2-b", "3-c"):
        box.roll_out(release, "listen: :1\n")
    assert box.releases == ["2-b", "3-c"]
    assert [str((box.root / name).readlink()) for name in ("current", "previous")] == ["3-c", "2-b"]


def test_what_interrupted_runs_left_is_removed(box: Box) -> None:
    box.roll_out("1-a", "listen: :1\n")
    (box.root / "2-b/lib").mkdir(parents=True)
    (box.root / ".wheels-x").mkdir()
    (box.root / "2-b.tar").touch()
    box.begin()
    assert sorted(path.name for path in box.root.iterdir()) == [".exporter.json", "1-a", "current", "deploy.py"]


def test_release_that_is_not_whole_is_not_put_in_force(box: Box) -> None:
    box.begin()
    (box.root / "1-a").mkdir()
    with pytest.raises(box.program.DeployError, match="1-a is not installed: run with the tag install"):
        box.program.activate(UNIT, "1-a", "http://h1:1/metrics")


def test_keep_after_the_timer_says_that_it_was_too_late(box: Box) -> None:
    box.begin()
    box.program.undo(UNIT)
    with pytest.raises(box.program.DeployError, match="it was undone because it took too long"):
        box.program.keep(UNIT, str(box.settings))


def test_release_that_was_only_installed_waits_for_the_run_that_puts_it_in_force(box: Box) -> None:
    box.roll_out("1-a", "listen: :1\n")
    box.begin()
    box.install("2-b")
    box.program.keep(UNIT, str(box.settings))
    assert box.releases == ["1-a", "2-b"]


def test_release_that_failed_goes_with_the_undoing(box: Box) -> None:
    box.roll_out("1-a", "listen: :1\n")
    box.begin()
    box.install("2-b")
    box.program.activate(UNIT, "2-b", "http://h1:1/metrics")
    box.program.undo(UNIT)
    assert box.releases == ["1-a"]


def test_broken_copy_of_an_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    module = load("hostwatch_release/files/install.py")
    archive = tmp_path / "x.tar"
    archive.write_bytes(b"half")
    with pytest.raises(module.InstallError, match="expected SHA-256 0123; the copy is broken"):
        module.install(tmp_path, archive, "1-a", "0123")
    assert list(tmp_path.iterdir()) == []


def test_install_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("hostwatch_release/files/install.py")
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w"):
        pass

    def fails(*command: str) -> None:
        if "venv" not in command:
            raise OSError(28, "No space left on device")
        Path(command[-1]).mkdir()

    monkeypatch.setattr(module, "_run", fails)
    with pytest.raises(OSError, match="No space left"):
        module.install(tmp_path, archive, "1-a", hashlib.sha256(archive.read_bytes()).hexdigest())
    assert list(tmp_path.iterdir()) == []


def test_credentials_of_a_change_under_way_are_for_root_alone_and_gone_with_it(box: Box, tmp_path: Path) -> None:
    box.begin()
    run = tmp_path / "run"
    assert run.stat().st_mode & 0o777 == 0o700
    assert (run / "exporter.json").stat().st_mode & 0o777 == 0o600
    box.program.keep(UNIT, str(box.settings))
    assert not run.exists()
