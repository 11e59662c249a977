"""Kernel files that not every machine has."""

import errno
import math
import time
from collections.abc import Callable
from typing import Final

from exporter.kernel import KernelError, KernelFile

# EOPNOTSUPP: the file is there, and what it tells of was switched off at boot (psi=0)
_ABSENT: Final = {errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP}


def read_optional(file: KernelFile) -> bytes | None:
    """Return the file's content, None where this kernel has no such thing. Raises KernelError for anything else."""
    try:
        return file.read()
    except KernelError as err:
        if isinstance(err.__cause__, OSError) and err.__cause__.errno in _ABSENT:
            return None
        raise


class BuiltInFile:
    """A file that a kernel either has from its start or never has: no module that is loaded later brings it.

    Where it is missing it is looked for now and then only, since an open that fails costs more than a read.
    """

    RETRY_SECONDS: Final = 30.0

    def __init__(self, file: KernelFile, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._missing_until = -math.inf

    def read(self) -> bytes | None:
        """Return its content, None where it is not there. Raises KernelError when it cannot be read."""
        if self._missing_until > -math.inf and self._clock() < self._missing_until:
            return None
        text = read_optional(self._file)
        self._missing_until = -math.inf if text is not None else self._clock() + self.RETRY_SECONDS
        return text
