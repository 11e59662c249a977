"""The relay's memory: not for other processes of its user, and on no disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("linux")

ROOT = Path(__file__).parents[3]

# as after exec(2) of an ordinary program by an ordinary user: dumpable, and core dumps allowed
_VICTIM = """
import ctypes, os, resource, sys
from exporter.relay.hardening import harden
libc = ctypes.CDLL(None)
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
libc.prctl(4, 1, 0, 0, 0)
if sys.argv[1] == "hardened":
    assert harden()
print(libc.prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE), flush=True)
sys.stdin.read()
os.abort()
"""

_SPY = """
import os, sys
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
for name in ("environ", "mem"):
    try:
        open(f"/proc/{sys.argv[1]}/{name}", "rb").close()
        print(name)
    except PermissionError:
        pass
"""


def victim(mode: str, folder: Path) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": ""}
    command = [sys.executable, "-c", _VICTIM, mode]
    folder.chmod(0o777)
    return subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)


def spied(pid: int) -> list[str]:
    """Return what another process of the same user can open of a process."""
    done = subprocess.run([sys.executable, "-c", _SPY, str(pid)], capture_output=True, check=True, timeout=30)
    return done.stdout.decode().split()


@pytest.mark.parametrize("mode", ["hardened", "plain"])
def test_only_a_hardened_process_keeps_its_memory_to_itself(mode: str, tmp_path: Path) -> None:
    with victim(mode, tmp_path) as child:
        assert child.stdout is not None
        dumpable, *limits = child.stdout.readline().split()
        if mode == "hardened":
            assert (dumpable, limits) == (b"0", [b"0", b"0"])
            assert spied(child.pid) == []
        else:
            assert dumpable == b"1"
            assert "environ" in spied(child.pid)
        child.kill()


def test_a_crash_of_a_hardened_process_leaves_no_core_dump(tmp_path: Path) -> None:
    child = victim("hardened", tmp_path)
    assert child.stdout is not None
    assert child.stdin is not None
    child.stdout.readline()
    child.stdin.close()
    _, status = os.waitpid(child.pid, 0)
    child.returncode = 0  # it is waited for
    child.stdout.close()
    if child.stderr:
        child.stderr.close()
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []
