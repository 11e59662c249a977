"""The programs that the roles run: archives, files of targets, and a machine's changes, without any machine."""

import hashlib
import http.server
import importlib.util
import io
import json
import os
import ssl
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.certificates import Authority, Pair
from tests.support.playbooks import ANSIBLE
from tests.support.web_server import WebServer, tls_of

UNIT = "hostwatch-exporter.service"
RELAY = "hostwatch-relay.service"


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ANSIBLE / "roles" / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """Files of this process are for itself alone, as on a hardened machine."""
    before = os.umask(0o077)
    yield
    os.umask(before)


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


def test_folder_of_targets_is_open_to_prometheus_whatever_the_machine_s_umask(
    register: Callable[..., dict[str, list[str]]], tmp_path: Path, strict_umask: None
) -> None:
    register({tmp_path / "targets/node/web-01.yml": "a\n"})
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("targets", "targets/node")] == [0o755, 0o755]


# --- the question that the verification asks


class Page(http.server.BaseHTTPRequestHandler):
    """An exporter that wants a password; two of its collectors work."""

    TEXT = b"""host_exporter_build_info{python="3.13.5",version="1.2.3"} 1
node_scrape_collector_success{collector="cpu"} 1
node_scrape_collector_success{collector="bcache"} 0
node_scrape_collector_success{collector="loadavg"} 1
"""

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == "Basic cHJvbWV0aGV1czpww6Rzcw=="
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(self.TEXT)))
        self.end_headers()
        self.wfile.write(self.TEXT)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


NOTHING = {"user": "", "password": "", "certificate": "", "key": ""}
PASSWORD = {**NOTHING, "user": "prometheus", "password": "päss"}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    module = load("hostwatch_exporter/files/ask.py")

    def run(url: str, question: dict[str, str]) -> dict[str, object]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({**question, "url": url})))
        module.main()
        answer: dict[str, object] = json.loads(capsys.readouterr().out)
        return answer

    return run


def test_exporter_tells_version_and_collectors_to_who_has_the_password(
    ask: Callable[..., dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with WebServer(Page) as server:
        url = f"{server.url}/metrics"
        answer = ask(url, PASSWORD)
        assert answer == {
            "status": 200, "reached": True, "said": "", "version": "1.2.3", "collectors": ["cpu", "loadavg"],
        }  # fmt: skip
        refused = ask(url, {**PASSWORD, "password": "guessed"})
        assert (refused["status"], refused["reached"], refused["said"]) == (401, True, "HTTP 401 Unauthorized")
        assert ask(url, NOTHING)["status"] == 401


def test_nobody_there_is_not_reached(ask: Callable[..., dict[str, object]]) -> None:
    server = WebServer(Page)
    server.stop()
    answer = ask(f"{server.url}/metrics", PASSWORD)
    assert (answer["status"], answer["reached"]) == (0, False)
    assert "refused" in str(answer["said"])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_exporter_that_wants_a_certificate_is_asked_with_one(
    ask: Callable[..., dict[str, object]], tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority, stranger = Authority(tmp_path / "clients"), Authority(tmp_path / "strangers")
    context = tls_of(*authority.issue("server"))
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    with WebServer(Page, tls=context) as server:
        url = f"{server.url}/metrics"
        assert ask(url, {**PASSWORD, **texts(authority.issue("prometheus"))})["version"] == "1.2.3"
        # it refuses, so it is there
        for question in (PASSWORD, {**PASSWORD, **texts(stranger.issue("prometheus"))}):
            refused = ask(url, question)
            assert (refused["status"], refused["reached"]) == (0, True)
            assert str(refused["said"]).startswith("ended the connection, as for a certificate that it does not take: ")
        pair = texts(authority.issue("prometheus"))
        assert ask(url, {**PASSWORD, **pair, "key": ""})["reached"] is False


def texts(pair: Pair) -> dict[str, str]:
    """Return a pair as the roles have it: texts, their last line end gone."""
    return {"certificate": pair.certificate.read_text().strip(), "key": pair.key.read_text().strip()}


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
        self.folder = folder
        self.root, self.settings = folder / "opt/hostwatch", folder / "exporter.yml"
        monkeypatch.setenv("HOSTWATCH_DEPLOY_ROOT", str(self.root))
        monkeypatch.setenv("HOSTWATCH_DEPLOY_RUN", str(folder / "run"))
        self.command = folder / "usr/local/bin/hostwatch"
        monkeypatch.setenv("HOSTWATCH_DEPLOY_COMMAND", str(self.command))
        self.program = load("hostwatch_release/files/deploy.py")
        self.systemd = FakeSystemd()
        self.systemd.error = self.program.DeployError
        monkeypatch.setattr(self.program, "_run", self.systemd.run)
        monkeypatch.setattr(self.program, "_start", self.systemd.start)
        monkeypatch.setattr(self.program, "_disarm", lambda unit: None)
        monkeypatch.setattr(self.program.subprocess, "run", lambda command, **options: self.systemd.run(*command))
        self.wanted: dict[str, object] = {
            "unit": UNIT,
            "seconds": 300,
            "files": [str(self.settings)],
            "folders": [],
            "user": "root",
        }

    def begin(self, unit: str = UNIT) -> dict[str, object]:
        found: dict[str, object] = self.program.begin(json.dumps({**self.wanted, "unit": unit}))
        return found

    def install(self, release: str) -> None:
        (self.root / release).mkdir(parents=True)
        (self.root / release / ".whole").touch()

    def roll_out(self, release: str, text: str, unit: str = UNIT) -> None:
        self.begin(unit)
        if not (self.root / release).exists():
            self.install(release)
        self.settings.write_text(text)
        self.program.activate(unit, release, "http://h1:10101/metrics")
        self.program.keep(unit, str(self.settings))

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.is_symlink())


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


def test_broken_copy_of_an_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    module = load("hostwatch_release/files/install.py")
    archive = tmp_path / "x.tar"
    archive.write_bytes(b"half")
    with pytest.raises(module.InstallError, match="expected SHA-256 0123; the copy is broken"):
        module.install(tmp_path, archive, "1-aaaaaaaa", "0123")
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
        module.install(tmp_path, archive, "1-aaaaaaaa", hashlib.sha256(archive.read_bytes()).hexdigest())
    assert list(tmp_path.iterdir()) == []


def test_credentials_of_a_change_under_way_are_for_root_alone_and_gone_with_it(box: Box, tmp_path: Path) -> None:
    box.begin()
    run = tmp_path / "run"
    assert run.stat().st_mode & 0o777 == 0o700
    assert (run / "exporter.json").stat().st_mode & 0o777 == 0o600
    box.program.keep(UNIT, str(box.settings))
    assert not run.exists()
