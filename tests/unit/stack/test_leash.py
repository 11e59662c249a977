import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import subprocess, sys
from stack.leash import leash
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], preexec_fn=leash())
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_child_goes_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie that nobody has waited for yet (/proc/PID/stat)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
