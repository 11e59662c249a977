"""The process that undoes a drill when the drill cannot: `python -m exporter.drills.lifeline LEDGER SECONDS`.

It has a session of its own, takes no signal that a terminal sends, and reads a pipe whose other end only the drill
holds: the end of that pipe means that the drill is gone, however it ended. So does its time limit.
"""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from exporter.drills.ledger import LedgerError, draft, read_ledger
from exporter.drills.undo import undo, undo_ledger

READY: Final = b"r"
_READY_SECONDS: Final = 30.0
# a fault that cannot be undone at once (an engine that is busy) is tried again
_TRIES: Final = 10
_AGAIN_SECONDS: Final = 0.5


class LifelineError(Exception):
    """The lifeline did not start: no drill without it."""


class Lifeline:
    """The drill's end of it."""

    def __init__(self, ledger: Path, seconds: float) -> None:
        """Start it; returns once it watches. Raises LifelineError."""
        read, self._write = os.pipe()
        command = [sys.executable, "-m", "exporter.drills.lifeline", str(ledger), f"{seconds:.3f}"]
        self._process = subprocess.Popen(
            command, stdin=read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )
        os.close(read)
        assert self._process.stdout is not None  # noqa: S101 -- for mypy: it is a pipe
        ready, _, _ = select.select([self._process.stdout], [], [], _READY_SECONDS)
        if not ready or self._process.stdout.read(1) != READY:
            self.close()
            raise LifelineError("the lifeline, which undoes a drill that is killed, did not start")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it still watches."""
        return self._process.poll() is None

    def close(self) -> None:
        """Let it end: it undoes what the ledger still holds. Blocks until it has."""
        if self._write >= 0:
            os.close(self._write)
            self._write = -1
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()


def watch(ledger: Path, seconds: float) -> None:
    """Wait for the end of standard input or of the time; then undo."""
    os.write(1, READY)
    select.select([0], [], [], seconds)
    with suppress(OSError):
        draft(ledger).unlink()  # the drill ended before its first line was whole
    try:
        _, entries = read_ledger(ledger)
    except (FileNotFoundError, LedgerError):
        return
    for _ in range(_TRIES):
        if not undo_ledger(ledger):
            break
        time.sleep(_AGAIN_SECONDS)
    # what the drill had asked of an engine in its last moment may have been done since
    time.sleep(_AGAIN_SECONDS)
    undo(entries)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    watch(Path(sys.argv[1]), float(sys.argv[2]))
