"""Files of /proc/PID, read and parsed. Fields are those of proc(5)."""

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Final, NamedTuple

from exporter.kernel import KernelError

NO_PROCESS: Final = (FileNotFoundError, ProcessLookupError)
"""What reading raises when the process has ended meanwhile."""

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
TICK_NANOSECONDS: Final = 1_000_000_000 // TICKS_PER_SECOND

# include/linux/sched.h, PF_KTHREAD: unchanged since Linux 2.6.27
_KERNEL_THREAD: Final = 0x00200000
_READ_BYTES: Final = 4096

_IO: Final = re.compile(rb"\nread_bytes: (\d+)\nwrite_bytes: (\d+)\n")
_SWAP: Final = re.compile(rb"\nVmSwap:\s+(\d+) kB\n")
_LIMIT: Final = re.compile(rb"\nMax open files +(\d+|unlimited) ")
_SWAP_TOTAL: Final = re.compile(rb"\nSwapTotal: +(\d+) kB\n")
_SWAP_FREE: Final = re.compile(rb"\nSwapFree: +(\d+) kB\n")


class Stat(NamedTuple):
    """What is wanted of /proc/PID/stat; times in ticks, memory in bytes."""

    name: bytes
    state: bytes
    parent: int
    kernel: bool
    """Whether it is a thread of the kernel's."""
    faults: int
    """Minor page faults of its own and of children that it waited for: what its parent inherits when it waits."""
    child_faults: int
    user: int
    system: int
    threads: int
    start: int
    """Since boot."""
    virtual: int
    resident: int


class ProcFs:
    """One mount of procfs, or a recorded tree."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._counts_files: bool | None = None

    def pids(self) -> list[int]:
        """Return the process ids that are listed. Raises KernelError naming the folder."""
        try:
            return [int(name) for name in os.listdir(self.root) if name.isdigit()]  # noqa: PTH208 -- hot path
        except OSError as err:
            raise KernelError(f"{self.root}: {err.strerror}") from err

    def path(self, pid: int, name: str) -> str:
        """Return where a process' file stands."""
        return f"{self.root}/{pid}/{name}"

    def read(self, pid: int, name: str) -> bytes:
        """Return a file's first 4096 bytes. Raises OSError, one of NO_PROCESS when the process has ended."""
        return read_start(f"{self.root}/{pid}/{name}", _READ_BYTES)

    def user(self, pid: int) -> int:
        """Return the effective user's number (the owner of /proc/PID). Raises OSError."""
        return os.stat(f"{self.root}/{pid}").st_uid  # noqa: PTH116 -- hot path

    def executable(self, pid: int) -> str:
        """Return the path of the program's file; empty where there is none. Raises OSError."""
        try:
            path = os.readlink(f"{self.root}/{pid}/exe")  # noqa: PTH115 -- hot path
        except NO_PROCESS:  # a kernel thread, a zombie
            return ""
        return path.removesuffix(" (deleted)").encode(errors="surrogateescape").decode(errors="backslashreplace")

    def open_files(self, pid: int) -> int:
        """Return how many files are open. Raises OSError."""
        path = f"{self.root}/{pid}/fd"
        if self._counts_files is None:
            self._counts_files = self._can_count_files()
        if self._counts_files:
            return os.stat(path).st_size  # noqa: PTH116 -- hot path
        return len(os.listdir(path))  # noqa: PTH208 -- hot path

    def _can_count_files(self) -> bool:
        """Whether the folder's size is their number, as since Linux 6.2: seen by our own."""
        path = f"{self.root}/self/fd"
        try:
            # the listing has itself open; another thread may open a file between, hence some tries
            return any(os.stat(path).st_size == len(os.listdir(path)) - 1 for _ in range(5))  # noqa: PTH116, PTH208 -- the same calls as above
        except OSError:
            return False

    def has_io(self) -> bool:
        """Whether this kernel counts the bytes that a process reads and writes (CONFIG_TASK_IO_ACCOUNTING)."""
        return any(os.path.lexists(f"{self.root}/{pid}/io") for pid in ("self", "1"))

    def swap_is_used(self) -> bool:
        """Whether anything is swapped out; True where nobody knows (/proc/meminfo)."""
        with contextlib.suppress(OSError):
            text = read_start(f"{self.root}/meminfo", _READ_BYTES)
            total, free = _SWAP_TOTAL.search(text), _SWAP_FREE.search(text)
            if total is not None and free is not None:
                return total[1] != free[1]
        return True

    def is_of_our_pids(self) -> bool:
        """Whether its process ids mean the same as in our own system calls: the clock of a pid is that process'."""
        try:
            own = Path(self.root, "self").readlink().name
            status = read_start(f"{self.root}/self/status", _READ_BYTES)
            time.clock_gettime_ns(clock_of(os.getpid()))  # some sandboxes have no such clocks
        except OSError:
            return False
        # since Linux 4.1: our number here, then in each namespace below; more than one means that this is an outer one
        numbers = re.search(rb"\nNSpid:((?:\t\d+)+)\n", status)
        return own == str(os.getpid()) and (numbers is None or len(numbers[1].split()) == 1)


def read_start(path: str, limit: int) -> bytes:
    """Return the first `limit` bytes of a file, as one read gives them. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, limit)
    finally:
        os.close(fd)


def clock_of(pid: int) -> int:
    """Return the id of a process' CPU clock, of all its threads (clock_getcpuclockid(3); 2 is CPUCLOCK_SCHED)."""
    return (~pid << 3) | 2


def parse_stat(text: bytes) -> Stat:
    """Return the fields of /proc/PID/stat. Raises KernelError when it is not the kernel's."""
    opened, closed = text.find(b"("), text.rfind(b")")  # the name between may hold anything
    fields = text[closed + 2 :].split(None, 22)
    if opened < 0 or closed < opened or len(fields) < 22:
        raise KernelError(f"/proc/PID/stat: expected a process, got {text[:80]!r}")
    try:
        return Stat(
            text[opened + 1 : closed],
            fields[0],
            int(fields[1]),
            bool(int(fields[6]) & _KERNEL_THREAD),
            int(fields[7]) + int(fields[8]),
            int(fields[8]),
            int(fields[11]),
            int(fields[12]),
            int(fields[17]),
            int(fields[19]),
            int(fields[20]),
            int(fields[21]) * PAGE_BYTES,
        )
    except ValueError as err:
        raise KernelError(f"/proc/PID/stat: expected numbers, got {text[:80]!r}") from err


def parse_io(text: bytes) -> tuple[int, int]:
    """Return bytes read from and written to storage, of /proc/PID/io. Raises KernelError."""
    found = _IO.search(text)
    if found is None:
        raise KernelError(f"/proc/PID/io: expected read_bytes and write_bytes, got {text[:80]!r}")
    return int(found[1]), int(found[2])


def parse_swap(text: bytes) -> int:
    """Return the bytes swapped out, of /proc/PID/status; 0 for what has no memory of its own."""
    found = _SWAP.search(text)
    return int(found[1]) * 1024 if found is not None else 0


def parse_limit(text: bytes) -> int | None:
    """Return how many files may be open, of /proc/PID/limits; None for no limit.

    Raises KernelError, and ProcessLookupError for what the file holds of a process that ends just then: nothing.
    """
    if not text:
        raise ProcessLookupError
    found = _LIMIT.search(text)
    if found is None:
        raise KernelError(f"/proc/PID/limits: expected Max open files, got {text[:80]!r}")
    return None if found[1] == b"unlimited" else int(found[1])


def parse_cgroups(text: bytes) -> tuple[str, ...]:
    """Return the paths of /proc/PID/cgroup, each once: systemd's first, then version 2's, then the others'."""
    lines = [line.split(b":", 2) for line in text.splitlines()]
    order = {b"name=systemd": 0, b"": 1}
    lines = sorted((line for line in lines if len(line) == 3), key=lambda line: order.get(line[1], 2))
    return tuple(dict.fromkeys(line[2].decode(errors="backslashreplace") for line in lines))


def parse_command_line(text: bytes) -> str:
    """Return the arguments of /proc/PID/cmdline with blanks between; what the process wrote there, where it did."""
    return text.rstrip(b"\0").replace(b"\0", b" ").decode(errors="backslashreplace")
