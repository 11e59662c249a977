"""Kernel files that not every machine has."""

import errno
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
