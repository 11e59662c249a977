"""One stack per state folder: who holds its lock runs; `down` finds that one process and no other."""

import fcntl
import json
import os
import select
import signal
import time
from pathlib import Path
from typing import Final, NamedTuple

from stack.failures import StackError

DOWN_SECONDS: Final = 30


class Owner(NamedTuple):
    """A process; `started` in clock ticks since boot tells it from a later one with the same pid."""

    pid: int
    started: int


class Lock:
    """Held as long as this process lives, SIGKILL included: the kernel frees it."""

    def __init__(self, state: Path) -> None:
        """Take it. Raises StackError when another stack of this state folder runs."""
        try:
            state.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(_file(state), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as err:
            raise StackError(f"cannot write {state}: {err.strerror}") from err
        if not _take(self._fd):
            owner = _read(self._fd)
            raise StackError(
                f"a stack runs already from {state}{f' (pid {owner.pid})' if owner else ''}; end it: make down"
            )
        os.ftruncate(self._fd, 0)
        me = Owner(os.getpid(), started(os.getpid()) or 0)
        os.pwrite(self._fd, json.dumps(me._asdict()).encode(), 0)

    def release(self) -> None:
        """Say that nothing runs any more."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def down(state: Path) -> bool:
    """Stop the stack of a state folder and wait for its end; False when none runs.

    Raises StackError when it does not end within DOWN_SECONDS or belongs to somebody else.
    """
    try:
        fd = os.open(_file(state), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        if _take(fd):
            return False
        owner = _read(fd)
    finally:
        os.close(fd)
    return owner is not None and _stop(owner)


def started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot (/proc/PID/stat, field 22); None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # field 2 is the name in brackets and may hold anything; field 3 comes after the last bracket
    return int(text[text.rindex(")") + 2 :].split()[19])


def _stop(owner: Owner) -> bool:
    try:
        handle = os.pidfd_open(owner.pid)
    except ProcessLookupError:
        return False
    try:
        # the handle is open: from here on the pid cannot become somebody else's unseen
        if started(owner.pid) != owner.started:
            return False
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        gone, _, _ = select.select([handle], [], [], DOWN_SECONDS)
    except PermissionError as err:
        raise StackError(f"the stack (pid {owner.pid}) runs as another user") from err
    finally:
        os.close(handle)
    if not gone:
        raise StackError(f"the stack (pid {owner.pid}) did not end within {DOWN_SECONDS} s")
    return True


def _file(state: Path) -> Path:
    return state / "stack.pid"


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(fd: int) -> Owner | None:
    """Return who holds the lock; waits a moment for one who has just taken it."""
    for _ in range(20):
        try:
            return Owner(**json.loads(os.pread(fd, 4096, 0)))
        except (ValueError, TypeError):
            time.sleep(0.05)
    return None
