"""A network namespace of our own, and processes in it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_HOLDER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x40000000) == 0, ctypes.get_errno()
print("ready", flush=True)
sys.stdin.read()
"""


class Network:
    """A network namespace that lives as long as the process that holds it."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen([sys.executable, "-c", _HOLDER], stdin=pipe, stdout=pipe, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *command: str) -> list[str]:
        """Return the command that runs another one in there."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", *command]

    def run(self, *command: str, seconds: float = 60) -> str:
        """Run a command to its end; return what it printed. Fails with its words when it fails."""
        done = subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=seconds, check=False, cwd=ROOT
        )
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stderr}{done.stdout}"
        return done.stdout

    def python(
        self, *arguments: str, stdin: int = subprocess.PIPE, stderr: int | None = None
    ) -> "subprocess.Popen[str]":
        """Start a Python process in there, its standard output a pipe."""
        return subprocess.Popen(
            self.command(sys.executable, *arguments),
            cwd=ROOT,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def set(self, name: str, value: str) -> None:
        """Set a kernel parameter below /proc/sys/net of this namespace."""
        self.run("sh", "-c", f"echo '{value}' >/proc/sys/net/{name}")

    def close(self) -> None:
        """Let the namespace go."""
        self._holder.communicate(timeout=10)


@contextmanager
def network() -> Iterator[Network]:
    """Make a network namespace whose loopback device is up."""
    made = Network()
    try:
        yield made
    finally:
        made.close()
