"""What ends the stack from outside, as one exception; between two calls of `pause` signals wait."""

import os
import select
import signal
from typing import Final

_TEXTS: Final = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "asked to end (SIGTERM)",
    signal.SIGHUP: "the terminal was closed",
}


class StopAsked(Exception):  # noqa: N818 -- no error: it is how a stack usually ends
    """Somebody wants the stack to end; the text says who."""


class Signals:
    """Signals are taken where we wait and nowhere else, so no start or stop of a part is cut in two."""

    def __init__(self) -> None:
        """Hold them back from now on. Whoever started us counts as there as long as our parent stays the same."""
        self._parent = os.getppid()
        self._wanted = set(_TEXTS) | {signal.SIGCHLD}
        self._terminal = select.poll()
        # nohup make up: a closed terminal is meant to change nothing
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            self._wanted.discard(signal.SIGHUP)
        else:
            self._watch_terminal()
        signal.pthread_sigmask(signal.SIG_BLOCK, self._wanted)

    def pause(self, seconds: float) -> None:
        """Wait until a child has ended, at most `seconds`. Raises StopAsked.

        Our parent is `make`, or who typed the command: when it was killed by SIGKILL no signal tells us of it.
        """
        got = signal.sigtimedwait(self._wanted, seconds)
        if got is not None and got.si_signo != signal.SIGCHLD:
            raise StopAsked(_TEXTS[signal.Signals(got.si_signo)])
        if os.getppid() != self._parent:
            raise StopAsked("what started it has ended")
        if self._terminal.poll(0):
            raise StopAsked(_TEXTS[signal.SIGHUP])

    def _watch_terminal(self) -> None:
        """Ask for nothing but a hang-up. Its signal goes to the session's leader alone, and make keeps it to itself."""
        for fd in range(3):
            if os.isatty(fd):
                self._terminal.register(fd, 0)
                return
