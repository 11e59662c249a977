"""A network of our own (a network namespace), with as many devices as wanted; this machine's is never touched."""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from bench.failures import BenchError

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_NAMESPACE: Final = "/proc/thread-self/ns/net"
# /sys shows the devices of the network in which it was mounted: each server gets a /sys of its own
_WITH_SYS: Final = ("unshare", "--mount", "sh", "-c", 'mount -t sysfs sysfs /sys && exec "$0" "$@"')


def missing() -> str:
    """Return why this machine lets us have no network of our own; empty where it does."""
    if os.geteuid() != 0:
        return "needs root"
    if lacking := [program for program in ("ip", "unshare") if shutil.which(program) is None]:
        return f"needs {' and '.join(lacking)}"
    try:
        with Network() as network:
            network.add_devices(2)
    except (BenchError, OSError) as err:
        return str(err)
    return ""


class Network:
    """A network with no device but lo, which is up; a context manager.

    Nothing but this object and the processes started inside keep it: it goes with them, whatever ends them. Only the
    calling thread is ever inside.
    """

    def __init__(self) -> None:
        """Make it. Raises OSError where that is not allowed."""
        self._outer = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_LIBC.unshare(_CLONE_NEWNET))
            self._own = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._outer)
            raise
        _check(_LIBC.setns(self._outer, _CLONE_NEWNET))
        self._ip("link set lo up")

    def __enter__(self) -> "Network":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._own)
        os.close(self._outer)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Run what follows inside: sockets made here and processes started here stay there."""
        _check(_LIBC.setns(self._own, _CLONE_NEWNET))
        try:
            yield
        finally:
            _check(_LIBC.setns(self._outer, _CLONE_NEWNET))

    def wrap(self, argv: list[str]) -> list[str]:
        """Return a command that shows its program the devices of the network it runs in; its pid is the program's."""
        return [*_WITH_SYS, *argv]

    def add_devices(self, count: int) -> None:
        """Add `count` idle devices (an even number): pairs of veth, or dummies where the kernel has none.

        Raises BenchError when it has neither.
        """
        pairs = "\n".join(f"link add bench{i} type veth peer name hcneb{i}" for i in range(count // 2))
        try:
            self._ip(pairs)
        except BenchError:
            self._ip("\n".join(f"link add bench{i} type dummy" for i in range(count)))

    def _ip(self, commands: str) -> None:
        with self.inside():
            done = subprocess.run(
                ["ip", "-batch", "-"], input=commands + "\n", capture_output=True, text=True, check=False, timeout=60
            )
        if done.returncode:
            raise BenchError(f"ip: {' '.join(done.stderr.split())}")


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"a network namespace: {os.strerror(number)}")
