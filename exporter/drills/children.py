"""Starting processes of a drill: marked, bounded, and ended by the kernel when the drill ends."""

import ctypes
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

from exporter.drills.processes import MARK

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_SYSTEMD: Final = Path("/run/systemd/system")  # sd_booted(3)


class Limits(NamedTuple):
    """What a process may use; None: as much as it likes."""

    memory_bytes: int | None = None
    seconds: int | None = None
    nice: int = 0
    oom_score: int = 1000
    """The first to go when memory runs out."""


def systemd_runs() -> bool:
    """Whether systemd is this machine's first process, so that it can bound others."""
    return _SYSTEMD.is_dir() and os.geteuid() == 0


def bounded(command: Sequence[str], limits: Limits, *, systemd: bool) -> list[str]:
    """Return a command within limits of systemd's, where there is one; else resource limits have to do."""
    if not systemd or (limits.memory_bytes is None and limits.seconds is None):
        return list(command)
    properties = []
    if limits.memory_bytes is not None:
        properties += ["-p", f"MemoryMax={limits.memory_bytes}", "-p", "MemorySwapMax=0"]
    if limits.seconds is not None:
        properties += ["-p", f"RuntimeMaxSec={limits.seconds}"]
    return ["systemd-run", "--scope", "--quiet", "--collect", *properties, "--", *command]


def start(
    command: Sequence[str],
    mark: str,
    log: IO[bytes],
    *,
    limits: Limits = Limits(),  # noqa: B008 -- never changes
    environment: Mapping[str, str] | None = None,
    systemd: bool | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a process that carries the mark; it is killed when the calling thread ends. Raises OSError."""
    use = systemd_runs() if systemd is None else systemd
    return subprocess.Popen(
        bounded(command, limits, systemd=use),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, **(environment or {}), MARK: mark},
        start_new_session=True,  # Ctrl-C is for the drill, which then undoes in order
        preexec_fn=_prepare(limits, with_rlimits=not use),  # noqa: PLW1509 -- a drill has one thread
    )


def _prepare(limits: Limits, *, with_rlimits: bool) -> Callable[[], None]:
    us = os.getpid()

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != us:  # the drill died before the kernel knew
            os._exit(1)
        os.nice(limits.nice)
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(limits.oom_score))
        if with_rlimits and limits.memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))

    return prepare
