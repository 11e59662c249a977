"""Regular files that seldom change (os-release, textfiles): read anew only when their status says that they changed."""

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import Final

from exporter.kernel import KernelError

# a file changed twice within one tick of the file system's clock keeps its time: younger ones are read each time
SETTLED_NS: Final = 2_000_000_000


class WatchedFile:
    """One regular file, held as text, not open. Not safe for several threads."""

    def __init__(self, path: str, limit: int, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self.mtime_ns = 0
        """When the content read last was written, nanoseconds since the epoch."""
        self._limit = limit
        self._clock_ns = clock_ns
        self._data = b""
        self._key: tuple[int, ...] | None = None

    def read(self) -> bytes:
        """Return the content, the same object as long as time, size and inode are the same.

        Raises FileNotFoundError when it is not there; KernelError naming it when it cannot be read, is no regular file,
        or is larger than the limit.
        """
        try:
            if self._key is None or _key(os.stat(self.path)) != self._key:  # noqa: PTH116 -- hot path
                self._key = None
                self._read()
        except FileNotFoundError:
            self._key = None
            raise
        except OSError as err:
            raise KernelError(f"{self.path}: {err.strerror}") from err
        return self._data

    def _read(self) -> None:
        now = self._clock_ns()
        # without O_NONBLOCK a pipe of that name would hold us until somebody writes
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "expected a regular file")
            data = _read_all(fd, self._limit)
            settled = _key(os.fstat(fd)) == _key(status) and now - status.st_mtime_ns > SETTLED_NS
        finally:
            os.close(fd)
        if data != self._data:
            self._data = data
        self.mtime_ns = status.st_mtime_ns
        self._key = _key(status) if settled else None


def _read_all(fd: int, limit: int) -> bytes:
    data = b""
    while more := os.read(fd, limit + 1 - len(data)):
        data += more
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"over {limit} bytes")
    return data


def _key(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev, status.st_ctime_ns
