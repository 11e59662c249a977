"""One-line files of /proc/sys, kept open."""

import os
from typing import Final

from exporter.kernel import KernelError, KernelFiles

# the kernel makes a zeroed buffer as large as the read before it answers: 64 kB cost three times what one page does
_BYTES: Final = 4096


class SysctlFile:
    """One file below /proc/sys, opened at the first read. Not safe for several threads."""

    __slots__ = ("_fd", "_path", "name")

    def __init__(self, files: KernelFiles, name: str) -> None:
        self.name = name
        self._path = files.path(name)
        self._fd = -1

    def read(self) -> bytes:
        """Return the line with its newline; these files answer whole, in one read. Raises KernelError naming it."""
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            text = os.pread(self._fd, _BYTES, 0)
        except OSError as err:
            self.close()
            raise KernelError(f"{self._path}: {err.strerror}") from err
        if text.find(b"\n") != len(text) - 1 or not text:
            self.close()
            raise KernelError(f"{self.name}: expected one line, got {text[:80]!r}")
        return text

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        """Close the file when its collector goes, as at a reload."""
        self.close()
