"""`hostwatch` in a terminal of its own: what it draws there, and what somebody types."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping

from tests.support.exporter import ROOT

DEADLINE = 60
# to the other screen and back, the cursor, and the place where each picture begins (ctlseqs of xterm)
TO_OTHER_SCREEN, BACK, HIDE, SHOW, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25l", "\x1b[?25h", "\x1b[H"


class Terminal:
    """A command in a terminal of its own, and all that it wrote."""

    def __init__(self, *command: str, size: tuple[int, int] = (24, 100), env: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        self.resize(*size)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exporter", *command],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Ctrl-C and window sizes come to it
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 -- no lock is taken in there
            env={**os.environ, "TERM": "xterm-256color", **(env or {})},
        )
        os.close(slave)
        self.written = ""

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not holds():
            assert time.monotonic() < deadline, f"{what}; last: {self.screen()!r}"
            self.read(0.05)

    def read(self, seconds: float) -> bool:
        """Take what was written; False at the end."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self.written += os.read(self._master, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                return False
        return True

    def screen(self) -> str:
        """Return the last picture that was drawn to its end, without colours."""
        pictures = self.written.split(HOME)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", pictures[-2] if len(pictures) > 2 else pictures[-1])

    def end(self) -> int:
        deadline = time.monotonic() + DEADLINE
        while self.read(0.05) and time.monotonic() < deadline:
            pass
        return self.process.wait(DEADLINE)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._master)
