"""Processes that end with us, however we end, and that no signal of the terminal reaches but through us."""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import IO, Final

from stack.failures import StackError
from stack.leash import leash
from stack.parts import Part

LAST_LINES: Final = 10
LAST_ERRORS: Final = 3
STOP_SECONDS: Final = 3.0
# logfmt, as Prometheus and Alertmanager write it, and JSON, as we do
_ERROR: Final = re.compile(r"level=error|\"level\": ?\"error\"", re.IGNORECASE)


class Child:
    """A running part; what it prints goes to its log."""

    def __init__(self, part: Part, log: Path) -> None:
        """Start it. Raises StackError when its program cannot be run."""
        self.part = part
        self.log = log
        with open(log, "wb") as output:
            self._process = _start(part, output)

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    def running(self) -> bool:
        """Say whether it still runs. Does not block."""
        return self._process.poll() is None

    def story(self) -> str:
        """Return how it ended or what it does not do, with the last lines of its log."""
        return f"{self._ending()}. Its last lines, from {self.log}:\n{last_lines(self.log)}"

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when it is still there after STOP_SECONDS. Blocks until it is gone."""
        # Popen sends nothing to a process that has ended: no later owner of its pid is hit
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ending(self) -> str:
        code = self._process.poll()
        if code is None:
            return f"{self.part.title} does not answer"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"{self.part.title} ended {how}"


def last_lines(log: Path) -> str:
    """Return the end of a log, and the errors that stand a little before it, indented; reads 32 KiB at most."""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 32768))
        lines = file.read().decode(errors="replace").splitlines()
    # Prometheus tells what it dies of, and then of each part that it stops
    earlier = [line for line in lines[:-LAST_LINES] if _ERROR.search(line)][-LAST_ERRORS:]
    return "\n".join(f"    {line}" for line in earlier + lines[-LAST_LINES:]) or "    (it printed nothing)"


def _start(part: Part, output: IO[bytes]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # a session of its own: Ctrl-C reaches us alone, and we stop the parts in order
            start_new_session=True,
            preexec_fn=leash(),  # noqa: PLW1509 -- there is one thread
        )
    except (OSError, subprocess.SubprocessError) as err:
        raise StackError(f"{part.title} cannot be started: {err}") from err
