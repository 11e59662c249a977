"""Undoing what ledgers hold. Each step may be done any number of times, and nothing of it needs the drill itself."""

import ctypes
import os
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, assert_never

from exporter.drills import ledger
from exporter.drills.engine_api import EngineError, remove_container, remove_image

MARK: Final = "HOSTWATCH_DRILL"
# what is killed while it forks is looked for again; a fork bomb is none of ours
_PASSES: Final = 50
_GONE_SECONDS: Final = 5.0
_MNT_DETACH: Final = 2  # sys/mount.h


class UndoError(Exception):
    """Something stayed; the text says what."""


def undo_ledger(path: Path) -> list[str]:
    """Undo all that a ledger holds, newest first, and remove it. Returns what could not be undone, each with its fix.

    Blocks for a second or so. The ledger stays where something could not be undone.
    """
    try:
        _, entries = ledger.read_ledger(path)
    except FileNotFoundError:
        return []
    except ledger.LedgerError as err:
        return [str(err)]
    faults = undo(entries)
    if not faults:
        path.unlink(missing_ok=True)
    return faults


def undo(entries: Iterable[ledger.Entry]) -> list[str]:
    """Undo entries, processes first, then newest first. Returns what could not be undone. Blocks for a second or so."""
    faults = []
    kept = list(entries)
    processes = [one for one in kept if isinstance(one, ledger.Processes)]
    rest = [one for one in reversed(kept) if not isinstance(one, ledger.Processes)]
    for entry in (*processes, *rest):
        try:
            _undo(entry)
        except (UndoError, EngineError, OSError) as err:
            faults.append(f"{type(entry).__name__.lower()}: {err}")
    return faults


def _undo(entry: ledger.Entry) -> None:
    match entry:
        case ledger.Processes():
            end_processes(entry.mark)
        case ledger.Mount():
            _unmount(entry.path)
        case ledger.File():
            Path(entry.path).unlink(missing_ok=True)
        case ledger.Folder():
            if Path(entry.path).exists():
                shutil.rmtree(entry.path)
        case ledger.Container():
            remove_container(entry.socket, entry.name)
        case ledger.Image():
            remove_image(entry.socket, entry.name)
        case _:
            assert_never(entry)


def end_processes(mark: str) -> None:
    """Kill every process that carries the mark, and wait until none is there. Raises UndoError when some stay."""
    deadline = time.monotonic() + _GONE_SECONDS
    for _ in range(_PASSES):
        found = marked(mark)
        if not found:
            return
        for pid in found:
            _kill(pid, mark)
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    if left := marked(mark):
        raise UndoError(f"processes {', '.join(map(str, left))} do not end; kill -9 them")


def marked(mark: str) -> list[int]:
    """Return the processes whose environment holds the mark; zombies have none."""
    wanted = f"{MARK}={mark}".encode()
    own = os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 -- names only
    return [pid for pid in pids if pid != own and wanted in _environment(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return []


def _kill(pid: int, mark: str) -> None:
    """Kill a process if it still is who it was: a number may be another's by now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if f"{MARK}={mark}".encode() in _environment(pid):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _unmount(path: str) -> None:
    """Unmount a path, as often as something is mounted there; it goes at once even while files are open."""
    libc = ctypes.CDLL(None, use_errno=True)
    while is_mounted(path):
        if libc.umount2(os.fsencode(path), _MNT_DETACH) != 0:
            number = ctypes.get_errno()
            raise UndoError(f"{path}: {os.strerror(number)}; umount -l it")


def is_mounted(path: str) -> bool:
    """Whether something is mounted at exactly this path."""
    escaped = path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")
    with open("/proc/self/mountinfo") as file:
        return any(line.split(" ")[4] == escaped for line in file)
