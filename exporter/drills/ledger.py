"""What has to be undone, on disk before it is done: whoever finds the file can put the machine back.

A ledger is a file of JSON lines: first whose it is, then what there is to undo, in the order in which it was done.
"""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class LedgerError(Exception):
    """The folder for ledgers cannot be used, or a ledger cannot be read; the text names the file."""


class BusyError(Exception):
    """Another drill runs with this folder."""


class Head(msgspec.Struct, frozen=True):
    """Whose ledger it is: a process, told from a later one with its number by start time and boot."""

    run: str
    pid: int
    started: int
    """Clock ticks from the boot to the start of the process."""
    boot: str


class Processes(msgspec.Struct, frozen=True, tag="processes"):
    """End every process whose environment holds this mark, children of children included."""

    mark: str


class Mount(msgspec.Struct, frozen=True, tag="mount"):
    """Unmount what is mounted here."""

    path: str


class File(msgspec.Struct, frozen=True, tag="file"):
    """Remove this file."""

    path: str


class Folder(msgspec.Struct, frozen=True, tag="folder"):
    """Remove this folder with all that is in it."""

    path: str


class Container(msgspec.Struct, frozen=True, tag="container"):
    """Remove the container of that name, of the engine behind that socket."""

    socket: str
    name: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """Remove the image of that name, of the engine behind that socket."""

    socket: str
    name: str


Entry = Processes | Mount | File | Folder | Container | Image


class Ledger:
    """One run's ledger. Every entry is on disk when `add` returns."""

    def __init__(self, path: Path, head: Head) -> None:
        self.path = path
        self.head = head
        path.write_bytes(b"")
        self._append(head)

    def add(self, entry: Entry) -> None:
        """Write down what will have to be undone, before it is done."""
        self._append(entry)

    def is_there(self) -> bool:
        """Whether nobody has undone the run behind our back."""
        return self.path.exists()

    def close(self) -> None:
        """Forget the run: all of it is undone."""
        self.path.unlink(missing_ok=True)

    def _append(self, row: Head | Entry) -> None:
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(row) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def read_ledger(path: Path) -> tuple[Head, tuple[Entry, ...]]:
    """Return whose ledger it is and its entries, oldest first. A last line that was cut off had not been done yet.

    Raises LedgerError, and FileNotFoundError for a ledger that is closed.
    """
    first, *rest = path.read_bytes().split(b"\n")
    try:
        head = msgspec.json.decode(first, type=Head)
        return head, tuple(msgspec.json.decode(line, type=Entry) for line in rest[:-1])
    except msgspec.DecodeError as err:
        raise LedgerError(f"{path}: not a ledger: {err}; look into it, undo by hand, remove it") from err


def ledgers(state: Path) -> list[Path]:
    """Return all ledgers of a folder, those of runs that are under way too."""
    return sorted(state.glob("*.ledger"))


def open_state(state: Path) -> None:
    """Make the folder of ledgers, for its owner only. Raises LedgerError naming it."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as err:
        raise LedgerError(f"{state}: {err.strerror}; choose another folder with --state") from err


def take_lock(state: Path) -> int:
    """Return a descriptor that keeps other drills out as long as it is open. Raises BusyError."""
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        os.close(descriptor)
        raise BusyError(f"another drill runs ({state}); wait for it, or end it with `hostwatch drill halt`") from err
    return descriptor


def own_head(run: str) -> Head:
    """Return the head of a ledger of this process."""
    pid = os.getpid()
    return Head(run, pid, start_time(pid) or 0, boot_id())


def is_running(head: Head) -> bool:
    """Whether the process that wrote a ledger is still there."""
    return head.boot == boot_id() and start_time(head.pid) == head.started


def start_time(pid: int) -> int | None:
    """Return the clock ticks from the boot to a process's start; None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text[text.rindex(")") + 2 :].split()
    return None if state in "ZX" else int(fields[18])  # proc(5): field 22, and the state is field 3


def boot_id() -> str:
    """Return what tells this boot from others; empty where the kernel does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
