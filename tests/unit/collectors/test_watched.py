"""Files that seldom change: read again when they did, and only then; nothing that is no file holds us up."""

import os
from pathlib import Path

import pytest

from exporter.collectors.watched import SETTLED_NS, WatchedFile
from exporter.kernel import KernelError

LATER = 10 * SETTLED_NS


def watch(path: Path, limit: int = 100) -> WatchedFile:
    return WatchedFile(str(path), limit, lambda: path.stat().st_mtime_ns + LATER)


def test_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"one")
    file = watch(tmp_path / "a")
    first = file.read()
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened again"))
    assert file.read() is first


@pytest.mark.parametrize("replace", [False, True], ids=["in place", "renamed over"])
def test_changed_file_is_read_again(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    file = watch(path)
    assert file.read() == b"one"
    if replace:
        (tmp_path / "b").write_bytes(b"two")
        os.utime(tmp_path / "b", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        (tmp_path / "b").rename(path)
    else:
        path.write_bytes(b"three")
    assert file.read() in (b"two", b"three")


def test_file_written_a_moment_ago_is_read_each_time_since_its_clock_may_stand_still(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    status = path.stat()
    file = WatchedFile(str(path), 100, lambda: status.st_mtime_ns + 1)
    assert file.read() == b"one"
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.read() == b"two"


def test_missing_file_is_told_apart_and_comes_back(tmp_path: Path) -> None:
    file = watch(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        file.read()
    (tmp_path / "a").write_bytes(b"one")
    assert file.read() == b"one"
    (tmp_path / "a").unlink()
    with pytest.raises(FileNotFoundError):
        file.read()


def test_too_large_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 101)
    with pytest.raises(KernelError, match="a: over 100 bytes"):
        watch(tmp_path / "a").read()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    make(tmp_path / "a")  # type: ignore[operator]
    with pytest.raises(KernelError, match="a: expected a regular file"):
        watch(tmp_path / "a").read()
