"""A file that does not answer costs itself, and nothing else."""

import contextlib
import os
import threading
from pathlib import Path

import pytest

from exporter.processes.blocking import MAX_STUCK, BlockingFiles
from tests.support.client import until

QUICK = 0.05


@pytest.fixture
def pipes(tmp_path: Path):  # noqa: ANN201
    """Makes files that answer when somebody opens them for writing; lets all readers go at the end."""
    made: list[Path] = []

    def make(name: str) -> str:
        made.append(tmp_path / name)
        os.mkfifo(made[-1])
        return str(made[-1])

    yield make
    for path in made:
        release(str(path))


def release(path: str) -> None:
    """Let a reader that hangs at a pipe go on, if there is one."""
    with contextlib.suppress(OSError):  # nobody reads it
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def test_answers_are_in_the_order_of_the_paths_with_the_reasons_of_those_without(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name * 5000)
    files = BlockingFiles(1, 4096)
    first, missing, second = files.read([str(tmp_path / name) for name in ("a", "x", "b")])
    assert (first, second) == (b"a" * 4096, b"b" * 4096)
    assert isinstance(missing, FileNotFoundError)
    assert files.read([]) == []
    files.close()


def test_file_that_hangs_costs_itself_only_and_is_not_asked_again_until_it_is_back(tmp_path: Path, pipes) -> None:  # noqa: ANN001
    (tmp_path / "a").write_text("a")
    a, hanging = str(tmp_path / "a"), pipes("hanging")
    files = BlockingFiles(QUICK)
    assert files.read([a, hanging, a + "x", a])[::3] == [b"a", b"a"]
    threads = threading.active_count()
    for _ in range(3):
        assert files.read([hanging, a]) == [None, b"a"]
    assert threading.active_count() <= threads + 1
    release(hanging)
    (tmp_path / "hanging").unlink()
    (tmp_path / "hanging").write_text("back")
    until(lambda: files.read([hanging, a]) == [b"back", b"a"], "the file that hung")
    files.close()


def test_when_too_many_hang_nothing_is_read_rather_than_a_thread_for_each(tmp_path: Path, pipes) -> None:  # noqa: ANN001
    (tmp_path / "a").write_text("a")
    paths = [pipes(f"hanging{number}") for number in range(MAX_STUCK + 2)]
    before = threading.active_count()
    files = BlockingFiles(QUICK)
    assert files.read([*paths, str(tmp_path / "a")]) == [None] * (MAX_STUCK + 3)
    assert threading.active_count() - before <= MAX_STUCK
    assert files.read([str(tmp_path / "a")]) == [None]
    for path in paths:
        release(path)
    until(lambda: files.read([str(tmp_path / "a")]) == [b"a"], "threads that are back")
    files.close()
    until(lambda: threading.active_count() <= before, "the end of the threads")


def test_slow_files_are_waited_for_as_long_as_one_after_the_other_answers() -> None:
    def read(path: str, _: int) -> bytes:
        threading.Event().wait(QUICK * 0.6)
        return path.encode()

    files = BlockingFiles(QUICK, read=read)
    assert files.read(list("abcd")) == [b"a", b"b", b"c", b"d"]
    files.close()
