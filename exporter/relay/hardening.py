"""What keeps the relay's memory, where the tokens are, from other processes of its user and from the disk."""

import ctypes
import resource
import sys
from typing import Final

from exporter.logs import Log

_log = Log("exporter.relay.hardening")

# <linux/prctl.h>
_PR_SET_DUMPABLE: Final = 4


def harden() -> bool:
    """Forbid core dumps of this process, and reading its memory to all but root; False where that is not possible.

    A limit of 0 alone does not do it: where the kernel pipes core dumps to a program, it does not count (core(5)). Not
    dumpable, /proc/PID belongs to root, and ptrace(2) is refused. Children made by exec(2) are as they were before.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return False
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        _log.warning("memory can be read by other processes of this user", errno=ctypes.get_errno())
        return False
    return True
