"""What a Docker Engine of the tests leaves behind, and its removal: processes, networks, control groups and files."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

# /usr/sbin is not in everybody's PATH
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
PREFIX: Final = "hostwatch-engine-"
STOP_SECONDS: Final = 30
_CGROUPS: Final = Path("/sys/fs/cgroup")


class EngineError(Exception):
    """The engine, or a command for it, failed; the text has its words."""


def lock(folder: Path) -> int | None:
    """Return the locked lock file of an engine's folder, or None while its owner lives: the lock ends with it."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def remove_leftovers() -> None:
    """Remove what engines left whose owner was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        fd = lock(folder)
        if fd is not None:
            end(folder)
            os.close(fd)


def end(folder: Path) -> None:
    """End an engine's processes; remove its containers, networks, cgroups and files."""
    daemons = {pid for pid in _processes(folder) if _command(pid)[:1] == [b"dockerd"]}
    _signal(daemons, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while left := {*_processes(folder), *_members(folder)}:
        late = time.monotonic() > deadline
        if time.monotonic() > deadline + STOP_SECONDS:
            raise EngineError(f"processes {left} of {folder} do not end")
        # dockerd takes the rest down once its containers are gone; of a killed one the shims are left
        _signal(left if late or not left & daemons else _members(folder), signal.SIGKILL)
        time.sleep(0.02)
    for bridge in _lines(folder / "bridges"):
        if Path("/sys/class/net", bridge).exists():
            subprocess.run(["ip", "link", "delete", bridge], check=True, capture_output=True, env={"PATH": PATH})
    for group in _groups(folder):
        with contextlib.suppress(FileNotFoundError):  # the kernel's own clean-up came first
            group.rmdir()
    _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last: without one nobody else would look after it, nor keep off while we do."""
    with contextlib.suppress(FileNotFoundError):  # its owner came to an end just before us
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
        (folder / "lock").unlink()
        folder.rmdir()


def _processes(folder: Path) -> Iterator[int]:
    """Yield dockerd, containerd and the shims of an engine: each has its folder in an argument."""
    needle = f"{folder}/".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            command = _command(int(entry.name))
            name = command[0].rpartition(b"/")[2] if command else b""
            if name in {b"dockerd", b"containerd", b"containerd-shim-runc-v2"} and needle in b"\0".join(command):
                yield int(entry.name)


def _command(pid: int) -> list[bytes]:
    """Return a process' arguments; of a dead or dying one there are none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _groups(folder: Path) -> list[Path]:
    """Return an engine's control groups, innermost first; each hierarchy of version 1 has its own."""
    tops = [top for top in (_CGROUPS / folder.name, *_CGROUPS.glob(f"*/{folder.name}")) if top.is_dir()]
    return sorted((group for top in tops for group in (top, *top.glob("**/"))), key=lambda group: -len(group.parts))


def _members(folder: Path) -> set[int]:
    """Return the processes in an engine's containers."""
    return {int(pid) for group in _groups(folder) for pid in _lines(group / "cgroup.procs")}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:  # none was written; or the group went, or is threaded
        return []


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
