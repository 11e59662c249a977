"""What is asked of a process to tell which group it is in."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from exporter.exposition import text_of
from exporter.processes.blocking import BlockingFiles
from exporter.processes.matching import Identity, parse_users, unit_of
from exporter.processes.procfs import NO_PROCESS, ProcFs, parse_cgroups, parse_command_line
from exporter.processes.table import Process

_NOTHING: Final[tuple[str, ...]] = ()


class Users:
    """Names of users in the machine's own /etc/passwd: name services can block, and know another machine's."""

    def __init__(self, passwd: Path) -> None:
        self._passwd = passwd
        self._names: dict[int, str] = {}
        self._version: tuple[int, int] | None = None

    def refresh(self) -> None:
        """Read the file again when it changed; without it there are only numbers."""
        try:
            status = self._passwd.stat()
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._version:
                self._names = parse_users(self._passwd.read_bytes())
                self._version = version
        except OSError:
            self._names, self._version = {}, None

    def texts(self, number: int) -> tuple[str, ...]:
        """Return a user's name, where it is known, and number."""
        name = self._names.get(number)
        return (str(number),) if name is None else (name, str(number))


class Identities:
    """Reads the fields that groups ask for; what nobody asks for is not read."""

    def __init__(self, proc: ProcFs, passwd: Path, blocking: BlockingFiles) -> None:
        self._proc = proc
        self._users = Users(passwd)
        self._blocking = blocking

    def read(self, processes: Collection[Process], fields: Collection[str]) -> list[Identity | None]:
        """Return the identity of each process, None of those that have ended meanwhile."""
        if "user" in fields:
            self._users.refresh()
        lines = self._command_lines(processes) if "command_line" in fields else {}
        return [self._identity(process, fields, lines) for process in processes]

    def _command_lines(self, processes: Iterable[Process]) -> dict[int, bytes | OSError | None]:
        pids = [process.pid for process in processes if not process.stat.kernel]
        paths = [self._proc.path(pid, "cmdline") for pid in pids]
        return dict(zip(pids, self._blocking.read(paths), strict=True))

    def _identity(
        self, process: Process, fields: Collection[str], lines: dict[int, bytes | OSError | None]
    ) -> Identity | None:
        found: dict[str, tuple[str, ...] | None] = {"name": (text_of(process.stat.name),)}
        try:
            if "command_line" in fields:
                found["command_line"] = _command_line(lines.get(process.pid, b""))
            if "executable" in fields:
                found["executable"] = self._executable(process)
            if "user" in fields:
                found["user"] = self._user(process)
            if "unit" in fields or "cgroup" in fields:
                found["unit"], found["cgroup"] = self._cgroups(process)
        except NO_PROCESS:
            return None
        return found

    # what is wrong with one process hides fields of that one alone: anybody can make a path too long to be told

    def _user(self, process: Process) -> tuple[str, ...] | None:
        try:
            return self._users.texts(self._proc.user(process.pid))
        except NO_PROCESS:
            raise
        except OSError:
            return None

    def _executable(self, process: Process) -> tuple[str, ...] | None:
        if process.stat.kernel:
            return _NOTHING
        try:
            path = self._proc.executable(process.pid)
        except NO_PROCESS:
            raise
        except OSError:
            return None
        return (path,) if path else _NOTHING

    def _cgroups(self, process: Process) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        try:
            paths = parse_cgroups(self._proc.read(process.pid, "cgroup"))
        except FileNotFoundError:  # a kernel without control groups; of an ended process nothing else is found either
            return _NOTHING, _NOTHING
        except NO_PROCESS:
            raise
        except OSError:
            return None, None
        unit = next((unit for path in paths if (unit := unit_of(path)) is not None), None)
        return (_NOTHING if unit is None else (unit,)), paths


def _command_line(answer: bytes | OSError | None) -> tuple[str, ...] | None:
    """Return the command line; None where it is hidden. Raises one of NO_PROCESS."""
    if isinstance(answer, bytes):
        return (parse_command_line(answer),)
    if isinstance(answer, NO_PROCESS):
        raise answer
    return None
