"""The program that writes files of targets on Prometheus' machines."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.role_files import load


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


def test_folder_of_targets_is_open_to_prometheus_whatever_the_machine_s_umask(
    register: Callable[..., dict[str, list[str]]], tmp_path: Path, strict_umask: None
) -> None:
    register({tmp_path / "targets/node/web-01.yml": "a\n"})
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("targets", "targets/node")] == [0o755, 0o755]
