"""The mount table of the machine, and statvfs of its file systems with a deadline.

A dead mount (NFS server gone, FUSE daemon stopped) holds whoever asks it; only threads of ours ever do.
"""

import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from exporter.exposition import text_of
from exporter.kernel import KernelError, KernelFiles
from exporter.settings.collectors import FilesystemSettings

# these answer from memory: no server, no daemon of somebody's can hold them up
LOCAL_TYPES: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs"})

# and a path that leads through one of these holds nobody up either
PASSABLE_TYPES: Final = LOCAL_TYPES | {
    *("cgroup", "cgroup2", "devpts", "devtmpfs", "hugetlbfs", "mqueue", "overlay", "proc", "ramfs", "rootfs"),
    *("securityfs", "squashfs", "sysfs", "tracefs"),
}

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of the mount table."""

    device: str
    path: bytes
    """Where it is mounted, as the system calls take it; empty where this process sees another file system there."""
    mount_point: str
    """The same as a label."""
    fs_type: str
    read_only: bool
    """Whether the mount or the whole file system is read-only."""
    number: str = ""
    """The device's number, as major:minor."""
    beneath: bool = False
    """Whether the way to it leads through a mount that can hang."""

    @property
    def may_hang(self) -> bool:
        """Whether asking it can take forever."""
        return self.beneath or self.fs_type not in LOCAL_TYPES


class Usage(NamedTuple):
    """What statvfs(3) tells of a file system: bytes and inodes."""

    size: int
    free: int
    available: int
    files: int
    files_free: int


class MountTable:
    """The mounts of the machine's first process, less what the settings leave out (/proc/1/mountinfo).

    What lies over a mount in our own namespace alone (a unit's ProtectHome=tmpfs or InaccessiblePaths=) would answer in
    its place: such a mount is there, and cannot be asked.
    """

    def __init__(self, files: KernelFiles, settings: FilesystemSettings, root: Path = Path("/")) -> None:
        # of process 1, since a hardened unit's own table shows everything read-only; ours where 1 is hidden (hidepid)
        self._sources = [files.open_own("proc/1/mountinfo"), files.open_own("proc/self/mountinfo")]
        self._settings = settings
        self._root = b"" if root == Path("/") else os.fsencode(root)
        self._text: bytes | None = None
        self._mounts: tuple[Mount, ...] = ()

    def read(self) -> tuple[Mount, ...]:
        """Return the mounts, the same object while the table is unchanged. Raises KernelError."""
        if self._sources[0].changed():
            text = self._read_text()
            if text != self._text:
                self._text = None
                try:
                    table = list(parse_mountinfo(text))
                    hidden = self._hidden(text, table)
                    mounts = (self._as_asked(mount, hidden) for mount in _marked(table) if self._is_wanted(mount))
                    # one mounted over another of the same name hides it, from statvfs too: the last one counts
                    self._mounts = tuple({(m.device, m.fs_type, m.mount_point): m for m in mounts}.values())
                except KernelError:
                    self._sources[0].close()  # opened anew, it counts as changed: the next scrape reads it again
                    raise
                self._text = text
        return self._mounts

    def _read_text(self) -> bytes:
        try:
            return self._sources[0].read()
        except KernelError as err:
            # any other failure (no more files, no memory) goes by: in our own table everything may be read-only
            if len(self._sources) == 1 or not isinstance(err.__cause__, PermissionError | FileNotFoundError):
                raise
            self._sources.pop(0).close()
            return self._read_text()

    def _hidden(self, text: bytes, table: list[Mount]) -> set[bytes]:
        """Return the mount points where this process sees another file system than process 1."""
        try:
            own = text if self._root else self._sources[-1].read()  # what changes theirs changes ours too
            if own == text:
                return set()
            theirs, ours = _View(table), _View(parse_mountinfo(own))
        except KernelError:
            return set()
        return {mount.path for mount in table if theirs.number(mount.path) != ours.number(mount.path)}

    def _as_asked(self, mount: Mount, hidden: set[bytes]) -> Mount:
        """Return the mount with its path below the place where the machine's root is."""
        if mount.path in hidden:
            return mount._replace(path=b"")
        return mount._replace(path=self._root + mount.path) if self._root else mount

    def _is_wanted(self, mount: Mount) -> bool:
        return not (
            self._settings.mount_points_exclude.pattern.search(mount.mount_point)
            or self._settings.fs_types_exclude.pattern.search(mount.fs_type)
        )


class _View:
    """Where paths lead, by the table of one process."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        # of two on one mount point the last hides the other
        self._numbers = {mount.path: mount.number for mount in mounts}

    def number(self, path: bytes) -> str:
        """Return the number of the device that a path lies on."""
        while path not in self._numbers and path != b"/":
            path = path.rpartition(b"/")[0] or b"/"
        return self._numbers.get(path, "")


class LocalPaths:
    """Tells of paths whether asking for them can take forever (/proc/self/mountinfo, since we open them ourselves)."""

    def __init__(self, files: KernelFiles) -> None:
        self._source = files.open_own("proc/self/mountinfo")

    def changed(self) -> bool:
        """Whether a mount came or went since the last call."""
        return self._source.changed()

    def are_local(self, paths: Iterable[str]) -> bool:
        """Whether all paths lie on file systems of this machine. May itself take as long as the worst of them.

        A path that leads through a symbolic link counts as not local: it may lead elsewhere tomorrow.
        """
        try:
            mounts = list(_marked(list(parse_mountinfo(self._source.read()))))
        except KernelError:
            return False
        return all(os.path.realpath(path) == path and _is_local(os.fsencode(path), mounts) for path in paths)


def _is_local(path: bytes, mounts: list[Mount]) -> bool:
    above = [m for m in mounts if path == m.path or path.startswith(m.path.rstrip(b"/") + b"/")]
    # of two on one mount point the last hides the other
    return bool(above) and not max(enumerate(above), key=lambda pair: (len(pair[1].path), pair[0]))[1].may_hang


def parse_mountinfo(text: bytes) -> Iterable[Mount]:
    """Yield the mounts of a mountinfo file (proc(5)). Raises KernelError naming the first line that is none."""
    if not text.endswith(b"\n"):
        raise KernelError(f"proc/1/mountinfo: cut short: {text[-80:]!r}")
    for line in text[:-1].split(b"\n"):
        left, dash, right = line.partition(b" - ")
        mine, theirs = left.split(b" "), right.split(b" ")
        path = _unescape(mine[4]) if len(mine) >= 6 else b""
        if not dash or len(theirs) < 3 or not path.startswith(b"/") or b"\0" in path:
            raise KernelError(f"proc/1/mountinfo: expected a mount, got {line[:80]!r}")
        read_only = b"ro" in mine[5].split(b",") or b"ro" in theirs[2].split(b",")
        device, fs_type = text_of(_unescape(theirs[1])), text_of(_unescape(theirs[0]))
        yield Mount(device, path, text_of(path), fs_type, read_only, text_of(mine[2]))


def _marked(mounts: list[Mount]) -> Iterable[Mount]:
    """Yield the mounts, those that lie beneath one that can hang marked, whether that one is wanted or not."""
    sick = {mount.path for mount in mounts if mount.fs_type not in PASSABLE_TYPES}
    for mount in mounts:
        yield mount._replace(beneath=True) if sick and _lies_beneath(mount.path, sick) else mount


def _lies_beneath(path: bytes, sick: set[bytes]) -> bool:
    while path != b"/":
        path = path.rpartition(b"/")[0] or b"/"
        if path in sick:
            return True
    return False


def _unescape(field: bytes) -> bytes:
    """Undo the kernel's octal escapes of space, tab, newline, backslash and #."""
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 255]), field) if b"\\" in field else field


def read_usage(path: bytes) -> Usage:
    """Ask the kernel for the usage of the file system at `path`; may block for ever. Raises OSError."""
    stat = os.statvfs(path)
    unit = stat.f_frsize
    return Usage(stat.f_blocks * unit, stat.f_bfree * unit, stat.f_bavail * unit, stat.f_files, stat.f_ffree)


class _Asker:
    """A daemon thread that asks one mount after the other; lost while a mount holds it, and back by itself."""

    def __init__(self, ask: Callable[[bytes], Usage]) -> None:
        self._ask = ask
        self._questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Usage | OSError] = queue.SimpleQueue()
        self.held_by: bytes | None = None
        threading.Thread(target=self._run, daemon=True, name="statvfs").start()

    def _run(self) -> None:
        while (path := self._questions.get()) is not None:
            try:
                answer: Usage | OSError = self._ask(path)
            except OSError as err:
                answer = err
            self._answers.put(answer)

    def ask(self, path: bytes, seconds: float) -> Usage | OSError | None:
        """Return the answer, or None when there is none within `seconds`: then the thread is held by `path`."""
        self._questions.put(path)
        try:
            return self._answers.get(timeout=max(seconds, 0))
        except queue.Empty:
            self.held_by = path
            return None

    def end(self) -> None:
        """Let the thread end once it is free."""
        self._questions.put(None)

    def is_back(self) -> bool:
        """Whether the thread is free; the late answer of a mount that let go is thrown away."""
        if self.held_by is not None:
            try:
                self._answers.get_nowait()
            except queue.Empty:
                return False
            self.held_by = None
        return True


class Askers:
    """At most two threads, whatever hangs, for all who ask with them; handed on, they outlive a reload."""

    THREADS: Final = 2

    def __init__(self, ask: Callable[[bytes], Usage] = read_usage) -> None:
        self._ask = ask
        self._askers: list[_Asker] = []
        self._lock = threading.Lock()

    def ask(self, path: bytes, seconds: float) -> Usage | OSError | None:
        """Return the answer, None when there is none within `seconds` or no thread is free; one question at a time."""
        with self._lock:
            free = [asker for asker in self._askers if asker.is_back()]
            if any(asker.held_by == path for asker in self._askers):
                return None  # it holds a thread already: one is enough
            if not free:
                if len(self._askers) >= self.THREADS:
                    return None
                free = [_Asker(self._ask)]
                self._askers += free
            return free[0].ask(path, seconds)

    def __del__(self) -> None:
        """Let the threads end when nobody asks with them any more."""
        for asker in self._askers:
            asker.end()

    def settle(self, deadline: float, clock: Callable[[], float] = time.monotonic) -> bool:
        """Wait until no thread is held, at most until `deadline`; for tests and for a calm end."""
        while not all(asker.is_back() for asker in self._askers):
            if clock() > deadline:
                return False
            threading.Event().wait(0.01)
        return True


class UsageReader:
    """Usage of many mounts, those that can hang within a deadline."""

    def __init__(
        self, timeout: float, ask: Callable[[bytes], Usage] = read_usage, askers: Askers | None = None
    ) -> None:
        self.askers = Askers(ask) if askers is None else askers
        self._timeout = timeout
        self._ask = ask

    def read(self, mounts: Iterable[Mount]) -> dict[Mount, Usage]:
        """Return the usage of each mount that answers. Blocks for the mount time-out at most once per thread."""
        out: dict[Mount, Usage] = {}
        for mount in mounts:
            try:
                answer = self._ask_with_deadline(mount.path) if mount.may_hang else self._ask(mount.path)
            except OSError:
                continue  # the mount went, or hides: its device_error row says so
            if isinstance(answer, Usage):
                out[mount] = answer
        return out

    def _ask_with_deadline(self, path: bytes) -> Usage | OSError | None:
        return self.askers.ask(path, self._timeout)
