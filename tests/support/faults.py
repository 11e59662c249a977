"""Real troubles of a machine, each begun and ended on demand, with the alert that it has to raise."""

import contextlib
import http.server
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.certificates import Pair
from tests.support.engine import Engine
from tests.support.engine_remains import EngineError
from tests.support.network import Network
from tests.support.web_server import WebServer, tls_of


class Fault(NamedTuple):
    """A cause, which begins and ends, and the alert (name, instance) that tells of it."""

    cause: str
    alert: str
    instance: str
    begin: Callable[[], object]
    end: Callable[[], object]


class Web:
    """A web server, with TLS where it has a certificate, that can be slow and can be stopped."""

    def __init__(self, pair: Pair | None = None) -> None:
        self.delay, self._pair, self.port = 0.0, pair, 0
        self._server: WebServer | None = None
        self.start()

    def start(self, pair: Pair | None = None) -> None:
        """Serve on the same port as before, with another certificate where one is given."""
        self._pair = pair or self._pair
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                time.sleep(web.delay)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = WebServer(Handler, port=self.port, tls=tls_of(*self._pair) if self._pair else None)
        self.port = self._server.port
        self._server.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def show(self, pair: Pair) -> None:
        """Show another certificate from now on."""
        self.stop()
        self.start(pair)

    def slow_down(self, seconds: float) -> None:
        """Take so long for each answer."""
        self.delay = seconds


class Disk:
    """A file system of its own: ext4 in a file, on a loop device."""

    def __init__(self, folder: Path, megabytes: int, *options: str) -> None:
        self.image, self.path = folder.with_suffix(".img"), folder
        folder.mkdir()
        with self.image.open("wb") as file:
            file.truncate(megabytes << 20)
        # nothing reserved for root, who writes here
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", *options, self.image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", self.image, folder], check=True)

    def fill(self) -> None:
        """Write until nothing is left."""
        with contextlib.suppress(OSError), (self.path / "full").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65536))

    def use_up_inodes(self) -> None:
        """Make empty files until nothing is left."""
        with contextlib.suppress(OSError):
            for number in range(1_000_000):
                (self.path / f"{number}").touch()

    def empty(self) -> None:
        """Remove the files again."""
        for file in self.path.iterdir():
            if file.is_file():
                file.unlink()

    def read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)

    def writable(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", self.path], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.path], check=True)


class Program:
    """A program that runs while something is the matter, or while nothing is."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=quiet)

    def stop(self) -> None:
        """End it, SIGTERM first; stress-ng then ends its children."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


# niced: the machine is busy for everybody who asks, and the pipeline that has to tell of it gets its turn
BUSY: Final = ("nice", "-n", "19", "stress-ng", "--cpu", str(os.cpu_count()), "--timeout", "300")


def hog(megabytes: int) -> Program:
    """Return what takes so much memory and keeps it."""
    return Program("stress-ng", "--vm", "1", "--vm-bytes", f"{megabytes}m", "--vm-hang", "0", "--timeout", "300")


def pinned(name: str) -> Program:
    """Return a process that is expected to run, to be known by its command line."""
    return Program(sys.executable, "-c", "import time; time.sleep(600)", name)


class Container:
    """A container that works until it is told to fail, with little memory."""

    _WORK: Final = "while [ ! -e /tmp/stop ]; do sleep 0.2; done; exit 3"

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self.name = engine, name
        self.run()

    def run(self) -> None:
        """Start it anew."""
        self._engine.remove(self.name)
        options = ("--detach", "--network", "none", "--memory", "16m", "--memory-swap", "16m", "--name", self.name)
        self._engine.run("run", *options, self._engine.tiny_image(), "/bin/sh", "-c", self._WORK)

    def fail(self) -> None:
        """End with exit code 3."""
        self._engine.run("exec", self.name, "touch", "/tmp/stop")

    def run_out_of_memory(self) -> None:
        """Ask for four times the memory that it may have; the kernel kills who asks, the container goes on."""
        with contextlib.suppress(EngineError):  # it is killed
            self._engine.run("exec", self.name, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")

    def close(self) -> None:
        self._engine.remove(self.name)


class FarHosts:
    """Hosts behind a device of a namespace, which answer pings as they are told (tests/support/tunhost.py)."""

    def __init__(self, inside: Network, hosts: dict[str, dict[str, Any]]) -> None:
        self._inside = inside
        self._process = self._start(hosts)

    def become(self, hosts: dict[str, dict[str, Any]]) -> None:
        """Answer otherwise from now on; for a moment there is no way to them."""
        self.close()
        self._process = self._start(hosts)

    def close(self) -> None:
        self._process.communicate(timeout=20)

    def _start(self, hosts: dict[str, dict[str, Any]]) -> "subprocess.Popen[str]":
        process = self._inside.python("-m", "tests.support.tunhost", json.dumps(hosts))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process
