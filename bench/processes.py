"""Starting and stopping the servers, each known by its pid alone, and what the kernel tells of them."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from bench.access import HOST, OPEN, Access
from bench.failures import BenchError
from bench.scraper import Scraper
from stack.leash import leash

START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0
# settings of this shell that would change a server: each runs as installed
_FOREIGN: Final = ("PYTHON", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "MALLOC_", "COVERAGE_")
ADDRESS: Final = "{address}"
"""Stands in an argument list for the address to listen on."""


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def plain_environment() -> dict[str, str]:
    """Return the environment of this process without what tunes Python, Go or malloc."""
    return {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}


class Server:
    """One server process in a session of its own, so that a Ctrl-C reaches only us; a context manager stops it.

    However we end, the kernel ends it too.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, access: Access = OPEN) -> None:
        """`argv` holds "{address}" where the address belongs; what the process prints goes to `log`.

        `access` tells in which network it runs, and how it is reached.
        """
        self.name = name
        self.port = free_port()
        self._log = log
        self._access = access
        self._argv = [arg.replace(ADDRESS, f"{HOST}:{self.port}") for arg in argv]
        if access.network is not None:
            self._argv = access.network.wrap(self._argv)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises BenchError before the start."""
        if self._process is None:
            raise BenchError(f"{self.name}: not started")
        return self._process.pid

    def __enter__(self) -> "Server":
        with self._log.open("ab") as log, self._access.place():
            try:
                self._process = subprocess.Popen(
                    self._argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=plain_environment(),
                    start_new_session=True,
                    preexec_fn=leash(),  # noqa: PLW1509 -- there is one thread
                )
            except OSError as err:
                raise BenchError(f"{self.name}: {self._argv[0]}: {err.strerror}") from err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process: SIGTERM, and SIGKILL when it does not follow."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def connect(self, pause: float = 0.02) -> Scraper:
        """Return a scraper as soon as the server listens; looks every `pause` seconds.

        Raises BenchError with the server's last words when it ended or takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                return Scraper(self.port, self._access)
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name}: does not listen on port {self.port}: {self.last_words()}")
            time.sleep(pause)

    def last_words(self) -> str:
        """Return the end of what the process printed."""
        lines = self._log.read_text(errors="replace").splitlines()[-5:]
        return " | ".join(lines) or "it printed nothing"

    def cpu_seconds(self) -> float:
        """Return the CPU time of all threads, ended ones included, with the scheduler's resolution (nanoseconds).

        Raises BenchError when the process has ended, or started others whose time its clock would not show.
        """
        try:
            # man clock_getcpuclockid(3): the clock of a process is made from its pid; 2 is CPUCLOCK_SCHED
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError as err:
            raise BenchError(f"{self.name}: ended: {self.last_words()}") from err

    def check_alone(self) -> None:
        """Raise BenchError when the process has children: clock and memory would not show theirs."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            if children := (task / "children").read_text().split():
                raise BenchError(f"{self.name}: has started other processes: {children}")

    def memory(self) -> dict[str, int]:
        """Return resident (rss) and proportional (pss) memory, in bytes (/proc/PID/smaps_rollup, exact)."""
        fields = dict.fromkeys(("Rss", "Pss"), 0)
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, _, rest = line.partition(":")
            if key in fields:
                fields[key] = int(rest.split()[0]) * 1024
        return {key.lower(): value for key, value in fields.items()}
