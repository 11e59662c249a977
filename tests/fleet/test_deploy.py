"""A machine's change: begun, put in force, kept or undone; and the command on everybody's PATH."""

import hashlib
import json
import sys
import tarfile
from pathlib import Path

import pytest

from tests.support.deploy_box import RELAY, UNIT, Box
from tests.support.role_files import load


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    return Box(tmp_path, monkeypatch)


def test_what_was_put_in_force_is_settled(box: Box) -> None:
    assert box.begin()["settled"] is False
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    found = box.begin()
    assert (found["settled"], found["release"], found["url"]) == (True, "1-aaaaaaaa", "http://h1:10101/metrics")
    assert (found["recovered"], found["made"]) == (False, [])


@pytest.mark.parametrize("change", ["settings", "state", "link"])
def test_what_differs_from_what_was_put_in_force_is_not_settled(box: Box, change: str) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    if change == "settings":
        box.settings.write_text("listen: :2\n")
    elif change == "state":
        box.systemd.unit["ActiveState"] = "failed"
    else:
        (box.root / "current").unlink()
        (box.root / "current").symlink_to("0-00000000")
    assert box.begin()["settled"] is False


def test_undo_restores_files_links_and_the_running_unit(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    box.begin()
    box.install("2-bbbbbbbb")
    box.settings.write_text("listen: :2\n")
    box.program.activate(UNIT, "2-bbbbbbbb", "http://h1:2/metrics")
    box.systemd.commands.clear()
    assert box.program.undo(UNIT) == {"changed": True, "release": "1-aaaaaaaa", "active": True}
    assert box.settings.read_text() == "listen: :1\n"
    assert box.systemd.commands == ["systemctl daemon-reload", "start"]
    assert box.begin()["settled"] is True
    assert box.program.undo(UNIT)["changed"] is False


def test_undo_of_a_first_rollout_leaves_nothing_that_runs(box: Box) -> None:
    box.begin()
    box.install("1-aaaaaaaa")
    box.settings.write_text("listen: :1\n")
    box.program.activate(UNIT, "1-aaaaaaaa", "http://h1:1/metrics")
    assert box.program.undo(UNIT)["release"] == ""
    assert not box.settings.exists()
    assert not (box.root / "current").is_symlink()
    assert "systemctl stop" in box.systemd.commands
    assert box.systemd.unit["UnitFileState"] == "disabled"


def test_undo_of_a_change_that_changed_nothing_restarts_nothing(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    box.begin()
    box.systemd.commands.clear()
    assert box.program.undo(UNIT)["changed"] is False
    assert box.systemd.commands == []


def test_change_that_was_cut_off_is_undone_by_the_next_run(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    box.begin()
    box.settings.write_text("listen: :2\n")
    found = box.begin()
    assert (found["recovered"], found["settled"]) == (True, True)
    assert box.settings.read_text() == "listen: :1\n"


def test_only_the_release_in_use_and_the_one_before_stay(box: Box) -> None:
    for release in ("1-aaaaaaaa", "2-bbbbbbbb", "3-cccccccc"):
        box.roll_out(release, "listen: :1\n")
    assert box.releases == ["2-bbbbbbbb", "3-cccccccc"]
    assert [str((box.root / name).readlink()) for name in ("current", "previous")] == ["3-cccccccc", "2-bbbbbbbb"]


def test_what_interrupted_runs_left_is_removed(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    (box.root / "2-bbbbbbbb/lib").mkdir(parents=True)
    (box.root / ".wheels-x").mkdir()
    (box.root / "2-bbbbbbbb.tar").touch()
    box.begin()
    assert sorted(path.name for path in box.root.iterdir()) == [".exporter.json", "1-aaaaaaaa", "current", "deploy.py"]


def test_release_that_is_not_whole_is_not_put_in_force(box: Box) -> None:
    box.begin()
    (box.root / "1-aaaaaaaa").mkdir()
    with pytest.raises(box.program.DeployError, match="1-aaaaaaaa is not installed: run with the tag install"):
        box.program.activate(UNIT, "1-aaaaaaaa", "http://h1:1/metrics")


def test_keep_after_the_timer_says_that_it_was_too_late(box: Box) -> None:
    box.begin()
    box.program.undo(UNIT)
    with pytest.raises(box.program.DeployError, match="it was undone because it took too long"):
        box.program.keep(UNIT, str(box.settings))


def test_release_that_was_only_installed_waits_for_the_run_that_puts_it_in_force(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    box.begin()
    box.install("2-bbbbbbbb")
    box.program.keep(UNIT, str(box.settings))
    assert box.releases == ["1-aaaaaaaa", "2-bbbbbbbb"]


def test_release_that_failed_goes_with_the_undoing(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    box.begin()
    box.install("2-bbbbbbbb")
    box.program.activate(UNIT, "2-bbbbbbbb", "http://h1:1/metrics")
    box.program.undo(UNIT)
    assert box.releases == ["1-aaaaaaaa"]


def test_release_that_does_not_start_again_after_an_undo_keeps_no_later_run_away(box: Box) -> None:
    """Files and links are back, the change is forgotten, and what does not start is told."""
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    box.begin()
    box.install("2-bbbbbbbb")
    box.settings.write_text("listen: :2\n")
    box.program.activate(UNIT, "2-bbbbbbbb", "http://h1:2/metrics")
    box.systemd.starts = False
    with pytest.raises(box.program.DeployError, match=f"files and links are as before, but {UNIT} does not start"):
        box.program.undo(UNIT)
    assert box.settings.read_text() == "listen: :1\n"
    assert str((box.root / "current").readlink()) == "1-aaaaaaaa"
    assert not box.folder.joinpath("run").exists()
    found = box.begin()
    assert (found["recovered"], found["failure"]) == (False, "")


def test_run_after_one_that_was_cut_off_goes_on_where_the_old_release_does_not_start(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    box.begin()
    box.settings.write_text("listen: :2\n")
    box.systemd.starts = False
    found = box.begin()
    assert found["recovered"] is True
    assert found["failure"] == f"files and links are as before, but {UNIT} does not start"
    box.systemd.starts = True
    box.install("2-bbbbbbbb")
    box.program.activate(UNIT, "2-bbbbbbbb", "http://h1:1/metrics")
    assert box.program.keep(UNIT, str(box.settings))["activated"] is True


def test_folders_are_open_to_the_unit_whatever_the_machine_s_umask(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], strict_umask: None
) -> None:
    box.wanted["folders"] = [str(tmp_path / "etc/hostwatch")]
    monkeypatch.setattr(sys, "argv", ["deploy.py", "begin", json.dumps(box.wanted)])
    monkeypatch.setattr(box.program.signal, "signal", lambda *_: None)
    box.program.main()
    assert "failure" in json.loads(capsys.readouterr().out)
    for path in (box.root, box.root.parent, tmp_path / "etc", tmp_path / "etc/hostwatch", box.root / "deploy.py"):
        assert path.stat().st_mode & 0o777 == 0o755, path
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_release_is_open_to_the_unit_whatever_the_machine_s_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict_umask: None
) -> None:
    module = load("hostwatch_release/files/install.py")
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w"):
        pass
    monkeypatch.setattr(module, "_run", lambda *command: Path(command[-1]).mkdir() if "venv" in command else None)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(sys, "argv", ["install.py", str(tmp_path), str(archive), "1-aaaaaaaa", digest])
    module.main()
    assert (tmp_path / "1-aaaaaaaa").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "1-aaaaaaaa/.whole").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["opt", "srv/hostwatch-2", "hostwatch/.."])
def test_folder_that_others_may_share_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: Box, name: str
) -> None:
    shared = tmp_path / name
    monkeypatch.setattr(box.program, "ROOT", shared)
    monkeypatch.setattr(sys, "argv", ["deploy.py", "begin", json.dumps(box.wanted)])
    monkeypatch.setattr(box.program.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match="a folder of its own whose name is hostwatch, such as /opt/hostwatch"):
        box.program.main()
    assert not (tmp_path / "run").exists()


def test_what_is_not_ours_beside_the_releases_stays(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    (box.root / "google/chrome").mkdir(parents=True)
    (box.root / "backup-2026.tar").touch()
    box.install("ours-by-mark-alone")
    box.roll_out("2-bbbbbbbb", "listen: :1\n")
    assert box.releases == ["1-aaaaaaaa", "2-bbbbbbbb", "google", "ours-by-mark-alone"]
    assert (box.root / "google/chrome").is_dir()
    assert (box.root / "backup-2026.tar").exists()
    assert box.begin()["installed"] == ["1-aaaaaaaa", "2-bbbbbbbb"]


def test_credentials_of_a_change_under_way_are_for_root_alone_and_gone_with_it(box: Box, tmp_path: Path) -> None:
    box.begin()
    run = tmp_path / "run"
    assert run.stat().st_mode & 0o777 == 0o700
    assert (run / "exporter.json").stat().st_mode & 0o777 == 0o600
    box.program.keep(UNIT, str(box.settings))
    assert not run.exists()


# --- the command of everybody's PATH


def test_command_leads_to_the_release_in_use_once_it_is_proven(box: Box) -> None:
    box.begin()
    box.install("1-aaaaaaaa")
    box.program.activate(UNIT, "1-aaaaaaaa", "http://h1:1/metrics")
    assert not box.command.is_symlink()  # an undo has nothing to take back
    assert box.program.keep(UNIT, str(box.settings)) == {"activated": True, "led": True, "note": ""}
    assert str(box.command.readlink()) == f"{box.root}/current/bin/hostwatch"
    box.begin()
    assert box.program.keep(UNIT, str(box.settings)) == {"activated": False, "led": False, "note": ""}
    box.command.unlink()
    box.begin()
    assert box.program.keep(UNIT, str(box.settings))["led"] is True


def test_command_leads_to_the_relay_until_there_is_an_exporter(box: Box) -> None:
    box.roll_out("1-aaaaaaaa", "listen: :1\n", RELAY)
    assert str(box.command.readlink()) == f"{box.root}/relay/bin/hostwatch"
    box.begin()
    box.program.activate(UNIT, "1-aaaaaaaa", "http://h1:1/metrics")
    box.program.undo(UNIT)
    assert str(box.command.readlink()) == f"{box.root}/relay/bin/hostwatch"
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    assert str(box.command.readlink()) == f"{box.root}/current/bin/hostwatch"
    box.roll_out("2-bbbbbbbb", "listen: :1\n", RELAY)
    assert str(box.command.readlink()) == f"{box.root}/current/bin/hostwatch"


def test_command_of_a_root_of_before_is_led_anew(box: Box) -> None:
    box.command.parent.mkdir(parents=True)
    box.command.symlink_to("/srv/hostwatch/current/bin/hostwatch")
    box.roll_out("1-aaaaaaaa", "listen: :1\n")
    assert str(box.command.readlink()) == f"{box.root}/current/bin/hostwatch"


@pytest.mark.parametrize("kind", ["file", "link", "folder", "dangling"])
def test_command_of_somebody_else_stays_and_that_is_told(box: Box, kind: str) -> None:
    box.command.parent.mkdir(parents=True)
    if kind == "file":
        box.command.write_text("#!/bin/sh\n")
    elif kind == "folder":
        box.command.mkdir()
    else:
        box.command.symlink_to("/bin/sh" if kind == "link" else "/nonexistent")
    before = box.command.lstat()
    box.begin()
    box.install("1-aaaaaaaa")
    box.program.activate(UNIT, "1-aaaaaaaa", "http://h1:1/metrics")
    kept = box.program.keep(UNIT, str(box.settings))
    assert (kept["activated"], kept["led"]) == (True, False)
    assert kept["note"].endswith(f"is not ours and stays as it is; the command is {box.root}/current/bin/hostwatch")
    assert box.command.lstat() == before


def test_command_that_cannot_be_made_is_told_and_costs_nothing_else(box: Box) -> None:
    box.folder.joinpath("usr").write_text("no folder\n")
    box.begin()
    box.install("1-aaaaaaaa")
    box.program.activate(UNIT, "1-aaaaaaaa", "http://h1:1/metrics")
    kept = box.program.keep(UNIT, str(box.settings))
    assert (kept["activated"], kept["led"]) == (True, False)
    assert "cannot be made (Not a directory)" in kept["note"]
    assert not (box.folder / "run").exists()
