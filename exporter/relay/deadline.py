"""One deadline for the whole of a call over HTTP: the time limits of sockets are one for each read only."""

import contextlib
import socket
import threading
from contextvars import ContextVar
from typing import Self

# of the call that is under way, where the connections of the library that makes it find it
_current: ContextVar["Deadline"] = ContextVar("deadline")


class Deadline:
    """Ends what happens within its `with` block after so many seconds, by cutting the connections that it covers."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        """Whether the time is over: what was read until then may have been cut."""
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _current.reset(self._token)

    def covers(self, connected: object) -> None:
        """Cut this socket too when the time is over."""
        if isinstance(connected, socket.socket):
            self._sockets.append(connected)
        if self.passed:
            self._cut()

    def _cut(self) -> None:
        self.passed = True
        for one in list(self._sockets):
            with contextlib.suppress(OSError):  # it is closed already
                # not TLS's own, which would let a read go on without it
                socket.socket.shutdown(one, socket.SHUT_RDWR)


def cover(connected: object) -> None:
    """Let the deadline of the call under way cut this socket, too. Raises LookupError outside of one."""
    _current.get().covers(connected)
