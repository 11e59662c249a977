"""Ledgers and what is undone from them: on disk first, any number of times, and never what is somebody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.drills import ledger, undo

ENTRIES = (
    ledger.Folder("/run/x"),
    ledger.Processes("run/instance"),
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


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"nonsense\n", b'{"run":"a"}\n'])
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
        environment = {**os.environ, undo.MARK: mark}
        code = "print(flush=True); import time; time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-S", "-c", code], env=environment, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.read(1)
        return child

    mine, other = sleeper(f"{tmp_path}/mine"), sleeper(f"{tmp_path}/mine-not")
    try:
        # whoever waits for a process is its parent: a zombie does not count as running
        assert undo.marked(f"{tmp_path}/mine") == [mine.pid]
        undo.end_processes(f"{tmp_path}/mine")
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
