"""Files of /proc and /sys, kept open and read anew with pread at each scrape."""

import errno
import os
import select
from pathlib import Path
from typing import Final

PAGE: Final = 4096
CHUNK: Final = 65536
MAX_BYTES: Final = 8 * 1024 * 1024


class KernelError(Exception):
    """A kernel file could not be read or does not look as its document says; the text names the file."""


class KernelFile:
    """One file, opened at the first read. Not safe for several threads: each thread opens its own."""

    __slots__ = ("_data", "_enough", "_epoch", "_fd", "_files", "_poll", "_record", "_room", "path")

    def __init__(self, path: str, files: "KernelFiles | None", *, whole: bool = False, record: int = MAX_BYTES) -> None:
        self.path = path
        self._record = 1 if whole else record
        self._room = PAGE
        self._enough = PAGE - self._record
        self._files = files
        self._fd = -1
        self._poll: select.poll | None = None
        self._epoch = -1
        self._data = b""

    def read(self) -> bytes:
        """Return the whole content. A shared file is read once per scrape, however many collectors ask.

        Raises KernelError naming the file when it cannot be opened or read, or is larger than MAX_BYTES.
        """
        if self._files is None:
            return self._read()
        if self._epoch != self._files.epoch:
            self._data = self._read()
            self._epoch = self._files.epoch
        return self._data

    def _read(self) -> bytes:
        try:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            # ask for little more than there was last time: some files clear a buffer of the size asked for first
            data = os.pread(self._fd, self._room, 0)
            if len(data) <= self._enough:
                return data
            # a seq_file hands out whole records up to about a page a call: read until it says that it ended
            while more := os.pread(self._fd, CHUNK, len(data)):
                data += more
                _refuse_more_than_allowed(data)
            if len(data) >= self._room:
                self._room = len(data) * 5 // 4
                if self._record == 1:  # of records the kernel hands out a page's at once, whatever is asked for
                    self._enough = self._room - 1
        except OSError as err:
            self.close()  # a vanished device or namespace: the next read opens the file anew
            raise KernelError(f"{self.path}: {err.strerror}") from err
        if len(data) > MAX_BYTES:
            self.close()  # an open mount table would count as read: the next call has to try again
            raise KernelError(f"{self.path}: over {MAX_BYTES} bytes")
        return data

    def changed(self) -> bool:
        """Whether the content may differ from that of the last call: False only where the kernel says so.

        A mount table reports POLLPRI and POLLERR once after each change (proc(5), mounts); a recorded file in a test
        is always writable by poll's rules, which a mount table never is.
        """
        if self._fd < 0:
            return True
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLPRI | select.POLLERR | select.POLLOUT)
            return True
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._poll = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        """Close the file when its collector goes, as at a reload."""
        self.close()


def _refuse_more_than_allowed(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"over {MAX_BYTES} bytes")


class KernelFiles:
    """The trees that collectors read: /proc and /sys of this machine, or recorded ones in tests."""

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self.epoch = 0
        # /proc/net is the network of whoever reads; below another mount of /proc that is not the machine's
        self._net = "net/" if proc == Path("/proc") else "1/net/"
        self._roots = {"proc": proc, "sys": sys}
        self._shared: dict[str, KernelFile] = {}

    def begin(self) -> None:
        """Start a scrape: what was read before counts no more."""
        self.epoch += 1

    def path(self, name: str) -> str:
        """Return where `proc/...` or `sys/...` stands."""
        root, _, rest = name.partition("/")
        if root == "proc" and rest.startswith("net/") and (self._roots["proc"] / self._net).is_dir():
            rest = self._net + rest.removeprefix("net/")
        return str(self._roots[root] / rest)

    def open(self, name: str, *, whole: bool = False, record: int = MAX_BYTES) -> KernelFile:
        """Return the file that collectors on the event loop share; it need not exist yet.

        Both save the system call that finds the end, which for some files costs as much as the read itself. `whole`:
        the kernel hands the file out in one piece (single_open in fs/seq_file.c, sysfs), so that a read that is not
        full was the last; a file of many records must not claim it. `record`: the most bytes that one call of the
        file's `show` can write (seq_operations), so that a read that left a page room for one more was the last.
        """
        path = self.path(name)
        return self._shared.setdefault(path, KernelFile(path, self, whole=whole, record=record))

    def open_own(self, name: str, *, whole: bool = False, record: int = MAX_BYTES) -> KernelFile:
        """Return a file of the caller's own, for another thread; every read reads. The options are those of `open`."""
        return KernelFile(self.path(name), None, whole=whole, record=record)

    def close(self) -> None:
        """Close every shared file."""
        for file in self._shared.values():
            file.close()
