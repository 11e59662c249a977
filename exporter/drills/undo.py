"""Undoing what ledgers hold. Each step may be done any number of times, and nothing of it needs the drill itself."""

import ctypes
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, assert_never

from exporter.clients.docker import EngineError
from exporter.drills import ledger
from exporter.drills.engine_api import remove_container, remove_image
from exporter.drills.processes import UndoError, end_processes, end_session

_MNT_DETACH: Final = 2  # sys/mount.h


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
        try:
            path.unlink(missing_ok=True)
        except OSError as err:
            return [ledger.explained(path, err)]
    return faults


def undo(entries: Iterable[ledger.Entry]) -> list[str]:
    """Undo entries, processes first, then newest first. Returns what could not be undone. Blocks for a second or so."""
    faults = []
    kept = list(entries)
    processes = [one for one in kept if isinstance(one, ledger.Processes | ledger.Session)]
    rest = [one for one in reversed(kept) if not isinstance(one, ledger.Processes | ledger.Session)]
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
        case ledger.Session():
            end_session(entry)
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
