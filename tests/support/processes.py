"""Processes in memory: what /proc would tell of them, and the model that says what of it should be counted."""

import errno
from dataclasses import dataclass, field

from exporter.kernel import KernelError
from exporter.processes.blocking import Answer, BlockingFiles
from exporter.processes.census import Census
from exporter.processes.procfs import PAGE_BYTES, TICK_NANOSECONDS, TICKS_PER_SECOND, ProcFs
from exporter.processes.table import Clocks
from exporter.settings.exporter import Paths
from exporter.settings.processes import GroupSettings, Match, ProcessGroupsSettings
from exporter.settings.values import Duration, Regex

KERNEL_THREAD = 0x00200040
PATHS = Paths(rootfs="/nonexistent")


@dataclass
class FakeProcess:
    """One process; times in ticks, memory in bytes."""

    name: str = "app"
    state: str = "S"
    parent: int = 1
    flags: int = 0x400000
    faults: int = 10
    child_faults: int = 0
    user: int = 0
    system: int = 0
    threads: int = 1
    start: int = 0
    virtual: int = 1 << 20
    resident: int = 16 * PAGE_BYTES
    read: int = 0
    written: int = 0
    open_files: int = 3
    limit: str = "1024"
    swap: int = 0
    command_line: bytes = b"/usr/bin/app\0--flag\0"
    executable: str = "/usr/bin/app"
    user_id: int = 1000
    cgroup: str = "0::/system.slice/app.service\n"
    clock: int | None = None
    """Nanoseconds; by default what user and system say, and `more`: no two processes use the same to the nanosecond."""
    more: int = 0
    denied: set[str] = field(default_factory=set)
    """Names of files that permissions hide."""
    too_long: set[str] = field(default_factory=set)
    """Names of files that would hold a path longer than the kernel can tell."""

    def cpu(self) -> int:
        return (self.user + self.system) * TICK_NANOSECONDS + self.more if self.clock is None else self.clock

    def text(self, pid: int, name: str) -> bytes:
        """What a file holds."""
        match name:
            case "stat":
                numbers = (
                    *(self.parent, pid, pid, 0, -1, self.flags, self.faults, self.child_faults, 0, 0),
                    *(self.user, self.system, 7, 8, 20, 0, self.threads, 0, self.start),
                    *(self.virtual, self.resident // PAGE_BYTES, 2**64 - 1, *[0] * 27),
                )
                return f"{pid} ({self.name}) {self.state} {' '.join(map(str, numbers))}\n".encode()
            case "io":
                head = "rchar: 5\nwchar: 6\nsyscr: 7\nsyscw: 8\n"
                return (
                    f"{head}read_bytes: {self.read}\nwrite_bytes: {self.written}\ncancelled_write_bytes: 0\n".encode()
                )
            case "status":
                return f"Name:\t{self.name}\nVmRSS:\t 1 kB\nVmSwap:\t{self.swap // 1024:8} kB\nThreads:\t1\n".encode()
            case "limits":
                return f"Limit  Soft  Hard  Units\nMax open files            {self.limit} 4096 files\n".encode()
            case "cgroup":
                return self.cgroup.encode()
            case "cmdline":
                return self.command_line
        raise AssertionError(name)


class MemoryProc(ProcFs):
    """A procfs in memory, with the CPU clocks of its processes; counts what is read."""

    def __init__(self, processes: dict[int, FakeProcess] | None = None) -> None:
        super().__init__("/nonexistent/proc")
        self.processes = {1: FakeProcess("init", parent=0)} if processes is None else processes
        self.reads: list[tuple[int, str]] = []
        self.swapping = True
        self.counts_io = True
        self.monotonic = 1000.0
        self.vanish: set[int] = set()
        """Those that are listed, and gone before they are read."""

    def find(self, pid: int, name: str = "") -> FakeProcess:
        self.reads.append((pid, name))
        if pid not in self.processes or pid in self.vanish:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        if name in self.processes[pid].denied:
            raise PermissionError(errno.EACCES, "Permission denied")
        if name in self.processes[pid].too_long:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        return self.processes[pid]

    def pids(self) -> list[int]:
        return list(self.processes)

    def read(self, pid: int, name: str) -> bytes:
        return self.find(pid, name).text(pid, name)

    def user(self, pid: int) -> int:
        return self.find(pid, "user").user_id

    def executable(self, pid: int) -> str:
        return self.find(pid, "exe").executable

    def open_files(self, pid: int) -> int:
        return self.find(pid, "fd").open_files

    def has_io(self) -> bool:
        return self.counts_io

    def swap_is_used(self) -> bool:
        return self.swapping

    def clock(self, number: int) -> int:
        pid = ~(number >> 3)
        if pid not in self.processes:
            raise OSError(errno.EINVAL, "Invalid argument")
        return self.processes[pid].cpu()

    def boot(self) -> float:
        return self.monotonic

    def ticks(self) -> int:
        """Now, as the start of a process that is born."""
        return int(self.monotonic * TICKS_PER_SECOND)

    def names_read(self, name: str) -> set[int]:
        """Return of whom a file was read since the last call for any; forgets what was read."""
        found = {pid for pid, what in self.reads if what == name}
        self.reads.clear()
        return found


class Inline(BlockingFiles):
    """Reads where the real one has a thread read; paths in `hanging` do not answer."""

    def __init__(self, proc: MemoryProc) -> None:
        super().__init__(1.0)
        self._proc = proc
        self.hanging: set[str] = set()

    def read(self, paths: list[str]) -> list[Answer]:  # type: ignore[override]
        return [self._answer(path) for path in paths]

    def _answer(self, path: str) -> Answer:
        if path in self.hanging:
            return None
        _, _, rest = path.partition("/proc/")
        pid, _, name = rest.partition("/")
        try:
            return self._proc.read(int(pid), name)
        except OSError as err:
            return err


class Machine:
    """A census over processes in memory; each scan is `interval` seconds after the one before."""

    def __init__(self, *groups: GroupSettings, top: int = 10, interval: float = 10, clocks: bool = True) -> None:
        self.proc = MemoryProc()
        self.interval = interval
        self.blocking = Inline(self.proc)
        clock = self.proc.clock if clocks else None
        self.census = Census(
            ProcessGroupsSettings(groups=groups, top=top, interval=Duration(interval)),
            PATHS,
            proc=self.proc,
            clocks=Clocks(lambda: self.proc.monotonic, self.proc.boot, clock),
            blocking=self.blocking,
            wall=lambda: self.proc.monotonic + 1e9,
        )

    def __getitem__(self, pid: int) -> FakeProcess:
        return self.proc.processes[pid]

    def start(self, pid: int, name: str = "app", **fields: object) -> FakeProcess:
        """Let a process start now, or when `start` says."""
        process = FakeProcess(name, **{"start": self.proc.ticks(), **fields})  # type: ignore[arg-type]
        self.proc.processes[pid] = process
        return process

    def end(self, pid: int) -> None:
        """Let a process end without anybody waiting for it (SIGCHLD ignored)."""
        del self.proc.processes[pid]

    def reap(self, pid: int) -> None:
        """Let a process end, and its parent wait for it: what Linux adds to the parent then."""
        process = self.proc.processes.pop(pid)
        parent = self.proc.processes[process.parent]
        parent.read += process.read
        parent.written += process.written
        parent.child_faults += process.faults + process.child_faults
        parent.user += 1  # to wait takes time

    def scan(self) -> "Seen":
        self.proc.monotonic += self.interval
        return Seen(self.census.scan())

    def scan_or_reset(self) -> "Seen | None":
        """What the scanner does."""
        try:
            return self.scan()
        except KernelError:
            self.census.reset()
            return None


class Seen:
    """A scan, easy to ask."""

    def __init__(self, scan: object) -> None:
        from exporter.processes import Scan

        assert isinstance(scan, Scan)
        self.scan = scan

    def __getitem__(self, name: str):  # noqa: ANN204
        return next(group for group in self.scan.groups if group.name == name)

    @property
    def cores(self) -> dict[str, float]:
        rows = {use.name: use.cpu_seconds_per_second for use in self.scan.top_cpu}
        assert self.scan.other_cores is not None
        return {**rows, "other": self.scan.other_cores}

    @property
    def resident(self) -> dict[str, int]:
        rows = {use.name: use.resident_bytes for use in self.scan.top_memory}
        assert self.scan.other_resident is not None
        return {**rows, "other": self.scan.other_resident}


def group(name: str, /, **fields: str) -> GroupSettings:
    """Return a group's settings; without fields the name itself is matched."""
    wanted = fields or {"name": name}
    return GroupSettings(name, Match(**{key: Regex(value) for key, value in wanted.items()}))
