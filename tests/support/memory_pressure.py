"""A machine of the tests that wants more memory than it may have."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.engine import Engine
from tests.support.systemd_machine import Machine

LIMIT_BYTES: Final = 300 * 1024 * 1024
# together more than the limit, each less: what the kernel takes from one another one wants
WORKERS: Final = 8
_GROUPS: Final = Path("/sys/fs/cgroup")


def stalled_seconds() -> float:
    """Return how long, since the boot, some process of this machine has waited for memory (/proc/pressure/memory)."""
    some = Path("/proc/pressure/memory").read_text().splitlines()[0]
    return int(some.rpartition("total=")[2]) / 1e6


@contextmanager
def pressed(engine: Engine, machine: Machine, seconds: float) -> Iterator[Callable[[], bool]]:
    """Limit a machine's memory, and let stress-ng want twice as much; yield what says whether it still does."""
    engine.run("update", "--memory", str(LIMIT_BYTES), "--memory-swap", str(LIMIT_BYTES), machine.name)
    identity = engine.run("inspect", "--format", "{{.Id}}", machine.name).strip()
    top = _GROUPS / "memory" if (_GROUPS / "memory").is_dir() else _GROUPS
    group = top / engine.folder.name / identity / "stress"
    group.mkdir()
    wanted = f"--vm {WORKERS} --vm-bytes {LIMIT_BYTES * 2 // 1024}k --vm-populate --timeout {seconds:.0f}s --quiet"
    joined = f"echo $$ >{group}/cgroup.procs && exec stress-ng {wanted}"
    stress = subprocess.Popen(["sh", "-c", joined], stdin=subprocess.DEVNULL)
    try:
        yield lambda: stress.poll() is None
    finally:
        stress.terminate()
        stress.wait(60)
        _remove(group)
        # more than there is: Docker has no word for "none" here
        engine.run("update", "--memory", "1000g", "--memory-swap", "1000g", machine.name)


def _remove(group: Path) -> None:
    """Remove a control group once its last process is gone."""
    deadline = time.monotonic() + 60
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
