"""The exporter under test: as a process of its own, or its server alone on a loop in a thread."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from exporter.server.http import Handler, Reply, Request, Response, Routes
from exporter.server.listener import Server
from exporter.settings.exporter import Http
from tests.support.client import until

ROOT = Path(__file__).resolve().parents[2]
_LISTEN = "0A"  # a state of a connection, as /proc/net/tcp writes it (include/net/tcp_states.h)
COMMAND = (sys.executable, "-m", "exporter", "serve", "--listen", "127.0.0.1:0")


class Child:
    """A running exporter; its log lines are collected as they come."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, keep_open: Sequence[int] = ()
    ) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=keep_open,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        )
        self.pid = self.process.pid
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            until(lambda: self.events("exporter listens") or self.process.poll() is not None, "it listens", seconds=30)
            assert self.events("exporter listens"), f"it ended with {self.process.poll()}: {self.text}"
        except BaseException:
            self.end()
            raise
        self.port = int(self.events("exporter listens")[0]["port"])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        """All that it logged."""
        return "\n".join(self.lines)

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the logged JSON events of that name."""
        parsed = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [line for line in parsed if line["event"] == event]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Return the exit code, once its last words are read; fails when it is not gone (waitpid) after `seconds`."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    @property
    def resident(self) -> int:
        """Resident memory in bytes (/proc/PID/status, VmRSS)."""
        return int(self._status("VmRSS").split()[0]) * 1024

    @property
    def threads(self) -> int:
        return int(self._status("Threads"))

    @property
    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 -- names only

    @property
    def connections(self) -> int:
        """How many connections to its port it holds: sockets of its own, to ping or to ask Docker, are none."""
        held = set()
        for name in os.listdir(f"/proc/{self.pid}/fd"):  # noqa: PTH208 -- names only
            with suppress(FileNotFoundError):
                held.add(os.readlink(f"/proc/{self.pid}/fd/{name}"))  # noqa: PTH115 -- a text
        port = f":{self.port:04X}"
        found = 0
        for family in ("tcp", "tcp6"):
            rows = [row.split() for row in Path(f"/proc/{self.pid}/net/{family}").read_text().splitlines()[1:]]
            found += sum(row[1].endswith(port) and row[3] != _LISTEN and f"socket:[{row[9]}]" in held for row in rows)
        return found

    def _status(self, key: str) -> str:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(key + ":"))

    def end(self) -> None:
        """End the process, by force where it has to be."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._reader.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()


@contextmanager
def exporter_running(
    *arguments: str, command: Sequence[str] = COMMAND, env: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Run `hostwatch serve` with more arguments on a free port, and end it."""
    child = Child([*command, *arguments], env)
    try:
        yield child
    finally:
        child.end()


class InProcess:
    """The exporter's HTTP server with handlers of the test's, on a loop in a thread."""

    def __init__(self, handler: Handler, limits: Http) -> None:
        self._loop = asyncio.new_event_loop()
        self.failures: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self._ready = threading.Event()
        self._handler, self._limits = handler, limits
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self.server = Server(self._handler, self._limits)
        self.port = await self.server.listen("127.0.0.1", 0)
        self._ready.set()
        await self._stop.wait()
        for _ in range(5):  # asyncio (3.11) forgets to close what it is just accepting when the listener closes
            await asyncio.sleep(0)
        await self.server.stop(0.2)
        for _ in range(10):  # turns that a connection takes from accept to its end
            for connection in tuple(self.server._connections):
                connection._transport.abort()
            await asyncio.sleep(0)

    def call(self, function: Callable[[], Any]) -> None:
        """Run a function on the loop's thread, without waiting for it."""
        self._loop.call_soon_threadsafe(function)

    @property
    def connections(self) -> int:
        return len(self.server._connections)

    def end(self) -> None:
        self.call(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


def soon(body: bytes) -> Handler:
    """Return a handler that answers in a later turn of the loop, as /metrics does."""

    def handle(_: Request, reply: Reply) -> None:
        asyncio.get_running_loop().call_soon(reply, Response(200, body))

    return handle


def echo(request: Request, reply: Reply) -> None:
    """Answer at once with what the handler got."""
    reply(Response(200, repr((request.method, request.path, request.query)).encode()))


def fail(request: Request, reply: Reply) -> None:
    raise RuntimeError("a handler's fault")


def never(request: Request, reply: Reply) -> None:
    """Never answer."""


HANDLERS: dict[str, Handler] = {"/": echo, "/soon": soon(b"soon\n"), "/fail": fail, "/never": never}


@contextmanager
def server_running(handlers: Mapping[str, Handler] = HANDLERS, limits: Http | None = None) -> Iterator[InProcess]:
    """Run the HTTP server alone; fails when its loop saw an exception that nobody handled."""
    server = InProcess(Routes(handlers), Http() if limits is None else limits)
    try:
        yield server
    finally:
        server.end()
    assert not server.failures, server.failures


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


TERMINATIONS = (signal.SIGTERM, signal.SIGINT)
