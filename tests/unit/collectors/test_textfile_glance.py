"""Textfiles on a local disk that did not change cost no thread; whatever could hang or changed does."""

import os
import time
from pathlib import Path

import pytest

from exporter.collectors.mounts import LocalPaths
from exporter.collectors.textfile import TextFiles
from exporter.kernel import KernelFile
from tests.support.kernel import MemoryFiles

HOUR = 3600
LOCAL = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"


def make(folder: Path, mounts: bytes = LOCAL) -> tuple[TextFiles, dict[str, bytes]]:
    contents = {"proc/self/mountinfo": mounts}
    return TextFiles([str(folder)], lambda _: False, local=LocalPaths(Quiet(contents))), contents


class Quiet(MemoryFiles):
    """Files in memory that say truly whether they changed since the last question."""

    def open_own(self, name: str, *, whole: bool = False) -> KernelFile:
        file, contents, last = super().open_own(name), self.contents, []

        def changed() -> bool:
            now = contents.get(name)
            told = last == [now]
            last[:] = [now]
            return not told

        file.changed = changed  # type: ignore[method-assign]
        return file


def write(path: Path, text: str, age: float = HOUR) -> None:
    path.write_text(text)
    settle(path, age)
    settle(path.parent, age)


def settle(path: Path, age: float) -> None:
    moment = time.time() - age
    os.utime(path, (moment, moment))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inode's own time cannot be set back: let the clock run an hour ahead instead."""
    now = time.time_ns
    monkeypatch.setattr("exporter.collectors.textfile.time.time_ns", lambda: now() + HOUR * 10**9)


def scrape(collector: TextFiles) -> tuple[bool, bytes]:
    return collector.blocking, collector.collect()


def quiet(folder: Path, mounts: bytes = LOCAL) -> tuple[TextFiles, dict[str, bytes]]:
    """Return a collector after two scrapes."""
    collector, contents = make(folder, mounts)
    assert scrape(collector)[0]
    scrape(collector)
    return collector, contents


@pytest.mark.usefixtures("settled")
def test_unchanged_files_on_a_local_disk_need_no_thread(tmp_path: Path) -> None:
    write(tmp_path / "a.prom", "a_count 1\n")
    collector, _ = quiet(tmp_path)
    for _ in range(3):
        blocking, page = scrape(collector)
        assert not blocking
        assert b"a_count 1\n" in page


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", ["written", "replaced", "added", "removed", "touched"])
def test_whatever_changes_is_read_on_a_thread_and_shown_at_once(tmp_path: Path, change: str) -> None:
    one = tmp_path / "a.prom"
    write(one, "a_count 1\n")
    collector, _ = quiet(tmp_path)
    match change:
        case "written":
            one.write_text("a_count 2\n")
        case "replaced":
            write(tmp_path / "new", "a_count 2\n")
            (tmp_path / "new").rename(one)
        case "added":
            (tmp_path / "b.prom").write_text("b_count 2\n")
        case "removed":
            one.unlink()
        case "touched":
            settle(one, 2 * HOUR)
    blocking, page = scrape(collector)
    assert blocking
    assert (b"_count 2\n" in page) == (change in {"written", "replaced", "added"})
    assert (b"a_count" in page) == (change != "removed")


def test_what_changed_just_now_is_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("a_count 1\n")
    collector, _ = quiet(tmp_path)
    assert scrape(collector)[0]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_folder_on_a_mount_that_can_hang_is_never_looked_at_on_the_loop(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "a.prom", "a_count 1\n")
    collector, contents = quiet(tmp_path, LOCAL + f"2 1 0:50 / {tmp_path} rw - {kind} server:/x rw\n".encode())
    assert scrape(collector)[0]
    contents["proc/self/mountinfo"] = LOCAL
    scrape(collector)
    assert not scrape(collector)[0]
    contents["proc/self/mountinfo"] = LOCAL + f"2 1 0:50 / {tmp_path} rw - {kind} server:/x rw\n".encode()
    assert scrape(collector)[0]
    assert scrape(collector)[0]


@pytest.mark.usefixtures("settled")
def test_mount_that_came_is_told_however_often_blocking_is_asked(tmp_path: Path) -> None:
    write(tmp_path / "a.prom", "a_count 1\n")
    collector, contents = quiet(tmp_path)
    assert not scrape(collector)[0]
    contents["proc/self/mountinfo"] = LOCAL + f"2 1 0:50 / {tmp_path} rw - nfs4 server:/x rw\n".encode()
    assert [collector.blocking for _ in range(3)] == [True, True, True]


@pytest.mark.usefixtures("settled")
def test_links_are_followed_on_a_thread_only(tmp_path: Path) -> None:
    write(tmp_path / "real.txt", "a_count 1\n")
    (tmp_path / "a.prom").symlink_to(tmp_path / "real.txt")
    collector, _ = quiet(tmp_path)
    assert scrape(collector)[0]
