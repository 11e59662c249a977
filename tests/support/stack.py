"""`make up` under test: on a terminal of its own, with free ports and a state folder of its own."""

import contextlib
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stack import lock
from stack.settings import PORTS
from tests.support.client import until

ROOT = Path(__file__).resolve().parents[2]
# -o: this checkout's .venv is the one we run in, whoever made it
MAKE_UP = ("make", "--no-print-directory", "-o", ".venv/run.stamp", "up")
PYTHON_UP = (sys.executable, "-m", "stack", "up")


def free_ports() -> dict[str, int]:
    """Return a free port for each part."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in PORTS]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return dict(zip(PORTS, (sock.getsockname()[1] for sock in sockets), strict=True))


def environment(state: Path, ports: Mapping[str, int], configs: Path = ROOT) -> dict[str, str]:
    """Return the environment that moves a stack to these ports and folders."""
    moved = {PORTS[part][0]: str(port) for part, port in ports.items()}
    return {**os.environ, **moved, "STACK": "native", "HOSTWATCH_STATE": str(state), "HOSTWATCH_CONFIGS": str(configs)}


def get_json(port: int, path: str) -> Any:
    """Return the JSON that 127.0.0.1 answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


class Terminal:
    """A stack that somebody has started on a terminal; `output` grows as it prints."""

    def __init__(self, state: Path, configs: Path = ROOT, command: tuple[str, ...] = MAKE_UP) -> None:
        self.state = state
        self.ports = free_ports()
        self.env = environment(state, self.ports, configs)
        self._master, slave = pty.openpty()
        # setsid -c: standard input becomes the new session's terminal, as after a login
        self.process = subprocess.Popen(
            ["setsid", "-c", *command], cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env=self.env
        )
        os.close(slave)
        self._data = b""
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        """End everything, also after a test that failed half-way."""
        parts = self.parts().values() if self.process.poll() is None else ()
        self.hang_up()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            for pid in parts:
                os.kill(pid, signal.SIGKILL)
        self.process.wait(5)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._data.decode(errors="replace").replace("\r\n", "\n")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def hang_up(self) -> None:
        """Close the terminal."""
        self._closing.set()
        self._reader.join(5)

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Wait until it has printed `text`; fails at once when it ends without."""
        try:
            until(lambda: text in self.output or self.process.poll() is not None, text, seconds=seconds, every=0.05)
            until(lambda: text in self.output, text, seconds=1)
        except AssertionError as err:
            raise AssertionError(f"{err}\nIt printed:\n{self.output}") from None

    def supervisor(self) -> int:
        """Return the pid of `python -m stack`."""
        return int(json.loads((self.state / "stack.pid").read_text())["pid"])

    def parts(self) -> dict[str, int]:
        """Return the pids of the running parts by name."""
        with contextlib.suppress(OSError, ValueError):
            pid = self.supervisor()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return {_name(int(child)): int(child) for child in children}
        return {}

    def get(self, part: str, path: str) -> Any:
        """Return the JSON that a part answers."""
        return get_json(self.ports[part], path)

    def _read(self) -> None:
        """Collect the output; whoever closes the terminal must not be inside read() on it: the kernel would wait."""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while not self._closing.is_set():
                if select.select([self._master], [], [], 0.05)[0]:
                    self._data += os.read(self._master, 65536)
        self._closing.wait()
        os.close(self._master)


def gone(processes: Iterable[tuple[int, int | None]]) -> bool:
    """Say whether none of these (pid, start time) is there any more; one that only its parent has to fetch is not."""
    return not [pid for pid, started in processes if lock.started(pid) == started and not _is_zombie(pid)]


def known(pids: Iterable[int]) -> list[tuple[int, int | None]]:
    """Return each pid with its start time: later another process may have the same pid."""
    return [(pid, lock.started(pid)) for pid in pids]


def _is_zombie(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return text[text.rindex(")") + 2] == "Z"


def _name(pid: int) -> str:
    """Return which part a process is, by the configuration that it was given."""
    arguments = Path(f"/proc/{pid}/cmdline").read_text()
    return next((part for part in PORTS if f"/{part}.yml" in arguments), arguments.replace("\0", " "))
