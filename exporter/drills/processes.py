"""Which processes are a drill's, and their end: by a mark in the environment, and by session where that is hidden."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from exporter.drills import ledger

MARK: Final = "HOSTWATCH_DRILL"
# what is killed while it forks is looked for again; a fork bomb is none of ours
_PASSES: Final = 50
_GONE_SECONDS: Final = 5.0


class UndoError(Exception):
    """Something stayed; the text says what."""


def end_processes(mark: str) -> None:
    """Kill every process that shows the mark, and wait until none is there. Raises UndoError when some stay."""
    _end(lambda pid: _carries(pid, mark) is True)


def end_session(session: ledger.Session) -> None:
    """Kill a process and what it started in its session, likewise."""
    if session.boot == ledger.boot_id():
        _end(lambda pid: _belongs(pid, session))


def marked(mark: str) -> list[int]:
    """Return the processes that show the mark; zombies show none, nor do ones that are hidden from us."""
    return _all(lambda pid: _carries(pid, mark) is True)


def members(session: ledger.Session) -> list[int]:
    """Return the processes of a session that a drill began."""
    return _all(lambda pid: _belongs(pid, session)) if session.boot == ledger.boot_id() else []


def session_of(pid: int, mark: str) -> ledger.Session | None:
    """Return how a process that leads a session is found again; None when it has ended already."""
    started = ledger.start_time(pid)
    return None if started is None else ledger.Session(pid, started, ledger.boot_id(), mark)


def _all(is_meant: Callable[[int], bool]) -> list[int]:
    own = os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 -- names only
    return [pid for pid in pids if pid != own and is_meant(pid)]


def _end(is_meant: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + _GONE_SECONDS
    for _ in range(_PASSES):
        found = _all(is_meant)
        if not found:
            return
        for pid in found:
            _kill(pid, is_meant)
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    if left := _all(is_meant):
        raise UndoError(f"processes {', '.join(map(str, left))} do not end; kill -9 them")


def _kill(pid: int, is_meant: Callable[[int], bool]) -> None:
    """Kill a process if it still is who it was: a number may be another's by now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if is_meant(pid):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _belongs(pid: int, session: ledger.Session) -> bool:
    found = ledger.session_and_start(pid)
    if found is None or not _is_ours(pid):
        return False
    if pid == session.pid:
        return found[1] == session.started
    # the number of a session is nobody else's while one of it is there; afterwards it may be
    leader = ledger.start_time(session.pid)
    if found[0] != session.pid or found[1] < session.started or leader not in {None, session.started}:
        return False
    return _carries(pid, session.mark) is not False


def _carries(pid: int, mark: str) -> bool | None:
    """Whether a process has the mark in its environment; None when that is hidden from us, as another user's is."""
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except PermissionError:
        return None
    except OSError:  # gone
        return False


def _is_ours(pid: int) -> bool:
    """Whether we may end it. The owner of /proc/PID does not tell: it is root where a process is not dumpable."""
    own = os.geteuid()
    if own == 0:
        return True
    try:
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # gone
        return False
    return any(row.split()[1:2] == [str(own)] for row in rows if row.startswith("Uid:"))
