"""A FUSE file system of ours whose daemon can stop answering statvfs, for real: kernel, mount and all.

The daemon is a thread of the test; the mount is made in a mount and process namespace of the exporter's own (see
`tests/support/namespace.py`), so that nothing else on this machine ever meets a dead mount. Closing /dev/fuse aborts
the connection. The protocol: include/uapi/linux/fuse.h, version 7.31.
"""

import errno
import os
import select
import struct
import threading
from contextlib import suppress
from typing import Final, Literal

LOOKUP, FORGET, GETATTR, STATFS, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 17, 26, 36, 42
_IN: Final = struct.Struct("<IIQQIIII")  # len, opcode, unique, nodeid, uid, gid, pid, padding
_OUT: Final = struct.Struct("<IiQ")  # len, error, unique
_INIT_OUT: Final = struct.Struct("<IIIIHHIIHHI28x")
_ATTR_OUT: Final = struct.Struct("<QII6Q10I")
_STATFS_OUT: Final = struct.Struct("<5Q4I24x")

# what statvfs tells of it: 1000 blocks of 4096 bytes, 600 free, 500 for everybody; 100 inodes, 40 free
SIZE_BYTES: Final = 1000 * 4096
AVAILABLE_BYTES: Final = 500 * 4096

How = Literal["answers", "reads nothing", "reads without answering"]


class StuckFileSystem:
    """The daemon: answers until `how` says otherwise, and what it owes once it answers again."""

    def __init__(self) -> None:
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self.how: How = "answers"
        self.is_open = True
        self.statfs_seen = 0
        self._owed: list[int] = []
        self._wake_read, self._wake_write = os.pipe()
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def behave(self, how: How) -> None:
        """Change how it behaves, from the next request on."""
        self.how = how
        os.write(self._wake_write, b"x")

    def close(self) -> None:
        """End the daemon; the kernel answers everybody who waits with ENOTCONN."""
        self._ended = True
        self.is_open = False
        os.write(self._wake_write, b"x")
        if self._thread.is_alive():
            self._thread.join(10)
        for fd in (self.fd, self._wake_read, self._wake_write):
            os.close(fd)

    def _serve(self) -> None:
        while not self._ended:
            wanted = [self._wake_read] if self.how == "reads nothing" else [self._wake_read, self.fd]
            ready, _, _ = select.select(wanted, [], [])
            if self._wake_read in ready:
                os.read(self._wake_read, 100)
                if self.how == "answers":
                    self._pay()
            elif self.fd in ready and not self._take():
                return

    def _take(self) -> bool:
        try:
            data = os.read(self.fd, 1 << 17)
        except PermissionError:  # not mounted yet
            select.select([self._wake_read], [], [], 0.01)
            return True
        except OSError as err:  # ENOENT, EINTR: the request went while we came; ENODEV: unmounted
            return err.errno in {errno.ENOENT, errno.EINTR, errno.EAGAIN}
        _, opcode, unique, *_ = _IN.unpack_from(data)
        if opcode == STATFS:
            self.statfs_seen += 1
            if self.how != "answers":
                self._owed.append(unique)
                return True
        self._answer(opcode, unique)
        return True

    def _pay(self) -> None:
        owed, self._owed = self._owed, []
        for unique in owed:
            self._answer(STATFS, unique)

    def _answer(self, opcode: int, unique: int) -> None:
        if opcode in {FORGET, BATCH_FORGET, INTERRUPT}:
            return  # these have no answer
        body, error = b"", 0
        if opcode == INIT:
            body = _INIT_OUT.pack(7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0)
        elif opcode == GETATTR:
            body = _ATTR_OUT.pack(60, 0, 0, 1, 4096, 8, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
        elif opcode == STATFS:
            body = _STATFS_OUT.pack(1000, 600, 500, 100, 40, 4096, 255, 4096, 0)
        else:
            error = -errno.ENOENT if opcode == LOOKUP else -errno.ENOSYS
        with suppress(FileNotFoundError):  # who asked was killed in between
            os.write(self.fd, _OUT.pack(_OUT.size + len(body), error, unique) + body)
