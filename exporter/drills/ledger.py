"""What has to be undone, on disk before it is done: whoever finds the file can put the machine back.

A ledger is a file of JSON lines: first whose it is, then what there is to undo, in the order in which it was done.
"""

import fcntl
import os
import pwd
import tempfile
from pathlib import Path
from typing import Final

import msgspec

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class LedgerError(Exception):
    """The folder for ledgers cannot be used, or a ledger cannot be read; the text names the file."""


class BusyError(Exception):
    """Another drill runs with this folder."""


class GoneError(Exception):
    """The ledger is not there any more: somebody undid the run, and nothing may be begun."""


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


class Session(msgspec.Struct, frozen=True, tag="session"):
    """End this process and what it started in its session, though nobody but root may see what environment they have.

    So it is with a process that made itself not dumpable (prctl(2), PR_SET_DUMPABLE), as the relay does.
    """

    pid: int
    started: int
    """Clock ticks from the boot to the start of the process."""
    boot: str
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


Entry = Processes | Session | Mount | File | Folder | Container | Image


# a ledger whose first line was never finished: nothing had been done yet
NOBODY: Final = Head("", 0, 0, "")


class Ledger:
    """One run's ledger. Every entry is on disk when `add` returns."""

    def __init__(self, path: Path, head: Head) -> None:
        """Begin it; it is there with its head or not at all. Raises OSError."""
        self.path = path
        self.head = head
        fresh = draft(path)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write(descriptor, head)
        finally:
            os.close(descriptor)
        os.replace(fresh, path)  # noqa: PTH105 -- said with the other calls of the kernel
        _sync_folder(path.parent)

    def add(self, entry: Entry) -> None:
        """Write down what will have to be undone, before it is done. Raises GoneError and OSError: do not do it."""
        try:
            # not created: what was undone behind our back must not come back as half a ledger
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError as err:
            raise GoneError(f"{self.path} is gone: the faults are undone already") from err
        try:
            _write(descriptor, entry)
        finally:
            os.close(descriptor)

    def is_there(self) -> bool:
        """Whether nobody has undone the run behind our back."""
        return self.path.exists()


def draft(path: Path) -> Path:
    """Return the file that a ledger is before its head is whole."""
    return path.with_suffix(".new")


def _write(descriptor: int, row: Head | Entry) -> None:
    """Append a line, all of it or nothing. Raises OSError."""
    line, size = msgspec.json.encode(row) + b"\n", os.fstat(descriptor).st_size
    try:
        while line:  # a disk that is full takes a part first, and refuses the rest
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)  # half a line would take the next one with it
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_ledger(path: Path) -> tuple[Head, tuple[Entry, ...]]:
    """Return whose ledger it is and its entries, oldest first. A last line that was cut off had not been done yet.

    Where that is the first line, it is NOBODY's. Raises LedgerError, and FileNotFoundError for a ledger that is closed.
    """
    first, *rest = _read(path).split(b"\n")
    if not rest:
        return NOBODY, ()
    try:
        head = msgspec.json.decode(first, type=Head)
        return head, tuple(msgspec.json.decode(line, type=Entry) for line in rest[:-1])
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise LedgerError(f"{path}: not a ledger: {err}; look into it, undo by hand, remove it") from err


def _read(path: Path) -> bytes:
    """Return what is in a file of ours. Raises LedgerError for another's, whose words we must not follow."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            if reason := _distrust(os.fstat(file.fileno())):
                raise LedgerError(f"{path} {reason}")
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as err:
        raise LedgerError(explained(path, err)) from err


def ledgers(state: Path) -> list[Path]:
    """Return all ledgers of a folder, those of runs that are under way too. Raises LedgerError."""
    try:
        descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return []
    except OSError as err:
        raise LedgerError(explained(state, err)) from err
    try:
        if reason := _distrust(os.fstat(descriptor)):
            raise LedgerError(f"{state} {reason}")
        return sorted(state / name for name in os.listdir(descriptor) if name.endswith(".ledger"))  # noqa: PTH208 -- of a descriptor
    finally:
        os.close(descriptor)


def _distrust(status: os.stat_result) -> str:
    """Return why nobody should undo what is written there: somebody else could have written it."""
    if status.st_uid != os.geteuid():
        return f"belongs to user {_user(status.st_uid)}: run it as that user, or choose another folder with --state"
    if status.st_mode & 0o022:
        return "may be written to by others: chmod go-w, after a look at what is in it"
    return ""


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def explained(path: Path, err: OSError) -> str:
    """Return why a file of drills cannot be used, and what to do."""
    fix = "run it as root" if isinstance(err, PermissionError) else "choose another folder with --state"
    return f"{path}: {err.strerror}; {fix}"


def open_state(state: Path) -> None:
    """Make the folder of ledgers, for its owner only. Raises LedgerError naming it."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as err:
        raise LedgerError(f"{state}: {err.strerror}; choose another folder with --state") from err
    ledgers(state)  # whether it is ours alone


def take_lock(state: Path) -> int:
    """Return a descriptor that keeps other drills out as long as it is open. Raises BusyError and LedgerError."""
    try:
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as err:
        raise LedgerError(explained(state / "lock", err)) from err
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
    found = session_and_start(pid)
    return None if found is None else found[1]


def session_and_start(pid: int) -> tuple[int, int] | None:
    """Return a process's session and start time, which all may see; None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text[text.rindex(")") + 2 :].split()
    # proc(5): fields 6 and 22, and the state is field 3
    return None if state in "ZX" else (int(fields[2]), int(fields[18]))


def boot_id() -> str:
    """Return what tells this boot from others; empty where the kernel does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
