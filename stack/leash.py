"""Child processes that end with their parent, however it ends."""

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def leash() -> Callable[[], None]:
    """Return what a child of the calling thread runs before exec: the kernel then ends it when that thread ends.

    SIGKILL included (prctl(2)). The child takes every signal, also those that its parent blocks.
    """
    us = os.getpid()

    def bind() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != us:  # the parent died before the kernel knew
            os._exit(1)

    return bind
