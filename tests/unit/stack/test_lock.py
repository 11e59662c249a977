"""One stack per state folder, and `down` never ends another process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack import lock
from stack.failures import StackError

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys
from pathlib import Path
from stack.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def holder(state: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, state], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_stack_of_the_same_folder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        try:
            with pytest.raises(StackError, match=rf"runs already from {tmp_path} \(pid {first.pid}\).*make down"):
                lock.Lock(tmp_path)
        finally:
            first.kill()


def test_down_ends_the_holder_and_waits_for_it(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert lock.down(tmp_path)
        assert first.wait(5) == -signal.SIGTERM


def test_the_lock_of_one_that_was_killed_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.kill()
    assert not lock.down(tmp_path)
    lock.Lock(tmp_path).release()


def test_down_without_a_stack_does_nothing(tmp_path: Path) -> None:
    assert not lock.down(tmp_path)
    assert not list(tmp_path.iterdir())


def test_down_leaves_a_later_process_with_the_same_pid_alone(tmp_path: Path) -> None:
    with holder(tmp_path) as first, subprocess.Popen(["sleep", "60"]) as other:
        try:
            written = {"pid": other.pid, "started": (lock.started(other.pid) or 0) - 1}
            (tmp_path / "stack.pid").write_text(json.dumps(written))
            assert not lock.down(tmp_path)
            assert other.poll() is None
        finally:
            first.kill()
            other.kill()


def test_the_start_of_a_process_is_known_and_that_of_none_is_not() -> None:
    assert lock.started(os.getpid()) == lock.started(os.getpid())
    assert lock.started(2**22 + 1) is None
