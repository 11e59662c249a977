"""Whose processes are a drill's: marked ones, and those of its sessions whose environment only root may see."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from exporter.drills import ledger, processes
from tests.support.nobody import NOBODY, no_rights

MARK = "run/hidden"
# as the relay does it; its child is hidden as well, until it starts another program
HIDDEN = (
    "import ctypes, os, sys, time; os.setuid(int(sys.argv[1])) if os.getuid() == 0 else None\n"
    "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"
    "child = os.fork(); print(child, flush=True) if child else None; time.sleep(60)"
)


@pytest.fixture
def hidden() -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run a process of a user without rights, and its child, that only root may look into."""
    environment = {**os.environ, processes.MARK: MARK}
    command = [sys.executable, "-S", "-c", HIDDEN, str(NOBODY)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        try:
            yield child, int(child.stdout.readline())
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, 9)


def is_gone(pid: int) -> bool:
    return ledger.start_time(pid) is None


def test_what_hides_its_environment_is_found_by_its_session(hidden: tuple["subprocess.Popen[bytes]", int]) -> None:
    child, grandchild = hidden
    session = processes.session_of(child.pid, MARK)
    assert session is not None
    with no_rights():
        assert processes.marked(MARK) == [], "it is hidden"
        assert sorted(processes.members(session)) == sorted([child.pid, grandchild])
        processes.end_session(session)
    assert is_gone(child.pid)
    assert is_gone(grandchild)
    assert processes.members(session) == []


@pytest.mark.parametrize("changed", [{"started": 1}, {"boot": "another"}, {"started": 1 << 60}])
def test_number_that_is_another_s_by_now_is_left_alone(
    hidden: tuple["subprocess.Popen[bytes]", int], changed: dict[str, object]
) -> None:
    child, grandchild = hidden
    session = processes.session_of(child.pid, MARK)
    assert session is not None
    other = msgspec.structs.replace(session, **changed)
    with no_rights():
        assert processes.members(other) == []
        processes.end_session(other)
    assert not is_gone(child.pid)
    assert not is_gone(grandchild)


def test_session_without_its_first_process_is_ended_too(hidden: tuple["subprocess.Popen[bytes]", int]) -> None:
    child, grandchild = hidden
    session = processes.session_of(child.pid, MARK)
    assert session is not None
    child.kill()
    child.wait(30)
    with no_rights():
        processes.end_session(session)
    assert is_gone(grandchild)


def test_process_that_has_ended_has_no_session() -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    assert processes.session_of(child.pid, MARK) is None
