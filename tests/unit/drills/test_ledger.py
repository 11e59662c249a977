"""Ledgers and what is undone from them: on disk first, any number of times, and never what is somebody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.drills import ledger, processes, results, undo
from tests.support.nobody import no_rights, open_folder

ENTRIES = (
    ledger.Folder("/run/x"),
    ledger.Processes("run/instance"),
    ledger.Session(4711, 12345, "boot", "run/instance"),
    ledger.Mount("/run/x/disk"),
    ledger.File("/etc/targets/a.yml"),
    ledger.Container("/var/run/docker.sock", "c"),
    ledger.Image("/var/run/docker.sock", "i:drill"),
)


def new(tmp_path: Path, name: str = "a") -> ledger.Ledger:
    return ledger.Ledger(tmp_path / f"{name}.ledger", ledger.own_head(name))


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    book = new(tmp_path)
    for entry in ENTRIES:
        book.add(entry)
    head, entries = ledger.read_ledger(book.path)
    assert entries == ENTRIES
    assert head.pid == os.getpid()
    assert ledger.is_running(head)


def test_line_that_was_cut_off_had_not_been_done(tmp_path: Path) -> None:
    book = new(tmp_path)
    book.add(ENTRIES[0])
    with book.path.open("ab") as file:
        file.write(b'{"type":"mount","pa')
    assert ledger.read_ledger(book.path)[1] == ENTRIES[:1]


@pytest.mark.parametrize("content", [b"\n", b"{}\n", b"nonsense\n", b'{"run":"a"}\n', b"\xff\n"])
def test_file_that_is_none_names_itself(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ledger"
    path.write_bytes(content)
    with pytest.raises(ledger.LedgerError, match=r"a\.ledger"):
        ledger.read_ledger(path)
    assert "undo by hand" in undo.undo_ledger(path)[0]
    assert path.exists(), "what could not be read must not get lost"


def test_process_of_another_boot_or_with_another_start_does_not_run() -> None:
    own = ledger.own_head("a")
    assert not ledger.is_running(ledger.Head("a", own.pid, own.started + 1, own.boot))
    assert not ledger.is_running(ledger.Head("a", own.pid, own.started, "another"))
    assert not ledger.is_running(ledger.Head("a", 2**22 + 1, own.started, own.boot))


def test_second_drill_is_kept_out_until_the_first_ends(tmp_path: Path) -> None:
    first = ledger.take_lock(tmp_path)
    with pytest.raises(ledger.BusyError, match="another drill runs"):
        ledger.take_lock(tmp_path)
    os.close(first)
    os.close(ledger.take_lock(tmp_path))


def test_folder_that_cannot_be_used_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ledger.LedgerError, match="--state"):
        ledger.open_state(tmp_path / "file" / "state")


def test_undoing_removes_files_and_folders_and_may_be_repeated(tmp_path: Path) -> None:
    book, folder, file = new(tmp_path), tmp_path / "folder", tmp_path / "target.yml"
    for entry in (ledger.Folder(str(folder)), ledger.File(str(file)), ledger.Mount(str(folder / "disk"))):
        book.add(entry)
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").touch()
    file.touch()
    entries = ledger.read_ledger(book.path)[1]
    assert undo.undo_ledger(book.path) == []
    assert list(tmp_path.iterdir()) == []
    assert undo.undo_ledger(book.path) == []
    assert undo.undo(entries) == []


def test_what_cannot_be_undone_is_told_and_the_rest_is_done(tmp_path: Path) -> None:
    book, file = new(tmp_path), tmp_path / "target.yml"
    file.touch()
    for entry in (ledger.File(str(file)), ledger.Container(str(tmp_path / "no.sock"), "c")):
        book.add(entry)
    (fault,) = undo.undo_ledger(book.path)
    assert "no.sock" in fault
    assert not file.exists()
    assert book.path.exists(), "halt has to find it"


def test_only_marked_processes_are_ended(tmp_path: Path) -> None:
    def sleeper(mark: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, processes.MARK: mark}
        code = "print(flush=True); import time; time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-S", "-c", code], env=environment, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.read(1)
        return child

    mine, other = sleeper(f"{tmp_path}/mine"), sleeper(f"{tmp_path}/mine-not")
    try:
        # whoever waits for a process is its parent: a zombie does not count as running
        assert processes.marked(f"{tmp_path}/mine") == [mine.pid]
        processes.end_processes(f"{tmp_path}/mine")
        assert mine.wait(30) == -9
        assert other.poll() is None
    finally:
        for child in (mine, other):
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


def test_mount_points_are_told_apart() -> None:
    assert undo.is_mounted("/proc")
    assert not undo.is_mounted("/proc/self")


@pytest.mark.parametrize("content", [b"", b'{"run":"a","pid":1,"sta'])
def test_ledger_that_was_never_begun_is_nothing_to_undo(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ledger"
    path.write_bytes(content)
    head, entries = ledger.read_ledger(path)
    assert (head, entries) == (ledger.NOBODY, ())
    assert not ledger.is_running(head)
    assert undo.undo_ledger(path) == []
    assert not path.exists()


def test_ledger_is_there_with_its_head_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        new(tmp_path)
    assert ledger.ledgers(tmp_path) == []


def test_entry_that_does_not_fit_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, write = new(tmp_path), os.write

    def part(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:20])

    monkeypatch.setattr(os, "write", part)
    with pytest.raises(OSError, match="No space left"):
        book.add(ENTRIES[0])
    monkeypatch.undo()
    book.add(ENTRIES[1])
    assert ledger.read_ledger(book.path)[1] == ENTRIES[1:2]


def test_ledger_that_was_undone_does_not_come_back(tmp_path: Path) -> None:
    book = new(tmp_path)
    book.path.unlink()
    assert not book.is_there()
    with pytest.raises(ledger.GoneError, match="undone already"):
        book.add(ENTRIES[0])
    assert ledger.ledgers(tmp_path) == []


def test_no_folder_holds_no_ledgers(tmp_path: Path) -> None:
    assert ledger.ledgers(tmp_path / "nothing") == []


def test_folder_that_is_closed_to_us_is_not_empty() -> None:
    with open_folder() as folder:
        state = folder / "state"
        state.mkdir()
        (state / "a.ledger").touch()
        state.chmod(0)
        with no_rights(), pytest.raises(ledger.LedgerError, match="run it as root"):
            ledger.ledgers(state)
        with no_rights(), pytest.raises(ledger.LedgerError, match="run it as root"):
            results.read(state)


def test_what_another_user_wrote_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "precious"
    file.touch()
    book = new(tmp_path)
    book.add(ledger.File(str(file)))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    for ask in (ledger.ledgers, ledger.open_state):
        with pytest.raises(ledger.LedgerError, match=r"belongs to user .*: run it as that user"):
            ask(tmp_path)
    assert "belongs to user" in undo.undo_ledger(book.path)[0]
    assert file.exists()


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    for ask in (ledger.ledgers, ledger.open_state):
        with pytest.raises(ledger.LedgerError, match="chmod go-w"):
            ask(state)


def test_ledger_that_others_may_write_to_or_that_is_a_link_is_refused(tmp_path: Path) -> None:
    book, link = new(tmp_path), tmp_path / "b.ledger"
    link.symlink_to(book.path)
    with pytest.raises(ledger.LedgerError, match=r"b\.ledger"):
        ledger.read_ledger(link)
    book.path.chmod(0o666)
    with pytest.raises(ledger.LedgerError, match="chmod go-w"):
        ledger.read_ledger(book.path)


def test_lock_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(ledger.LedgerError, match="lock"):
        ledger.take_lock(tmp_path)
