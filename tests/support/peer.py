"""node_exporter as installed here, and `hostwatch serve`, each on a free port of 127.0.0.1."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_SECONDS: Final = 30


def free_port() -> int:
    """Return a port nobody listens on now; somebody may take it before it is used: start again then."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str) -> bytes:
    """Return the body. Raises OSError."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


class Exporter:
    """A child process that serves /metrics; ended when the `with` block ends."""

    command: tuple[str, ...]

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.port = free_port()

    def __enter__(self) -> Self:
        command = [part.replace("PORT", str(self.port)) for part in (*self.command, *self._arguments)]
        self._log = tempfile.TemporaryFile()
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=env)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.page()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__(None, None, None)
                    raise
                time.sleep(0.02)
            else:
                return self

    def page(self) -> bytes:
        """Return /metrics now."""
        return fetch(f"http://127.0.0.1:{self.port}/metrics")

    def log(self) -> str:
        """Return what the child wrote so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()


class NodeExporter(Exporter):
    """Debian's node_exporter with the collectors that we have."""

    command = (
        "prometheus-node-exporter",
        "--web.listen-address=127.0.0.1:PORT",
        "--collector.disable-defaults",
        # Debian's own default leaves lo out; upstream's and ours do not
        "--collector.netdev.device-exclude=^$",
        *(f"--collector.{name}" for name in ("cpu", "filesystem", "loadavg", "meminfo", "netdev", "stat")),
    )


class Hostwatch(Exporter):
    """This tree's `hostwatch serve`."""

    command = (sys.executable, "-m", "exporter", "serve", "--listen", "127.0.0.1:PORT")


def families_in(page: bytes) -> dict[str, str]:
    """Return type by family name."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page.decode(), re.MULTILINE))
