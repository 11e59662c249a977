"""A Docker Engine as far as its API tells of containers: answers from memory, and falls ill where a test wants it."""

import contextlib
import functools
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

NEVER = "0001-01-01T00:00:00Z"
Handler = Callable[[socket.socket], None]


@functools.cache  # a container is found by its id among thousands
def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class FakeContainer:
    """One container; what is not given is as Docker shows it of one that runs for the first time."""

    name: str
    image: str = "registry:5000/team/app:1.2"
    state: str = "running"
    status: str = "Up 6 seconds"
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    health: str | None = None
    labels: dict[str, str] | None = field(default_factory=dict)
    memory: int = 0
    pid: int = 0
    created: int = 1_700_000_000
    started: str = "2023-11-14T22:13:21.123456789Z"
    finished: str = NEVER
    asked_image: str | None = None
    """What it was created with, where the list shows another."""

    @property
    def id(self) -> str:
        return digest_of(self.name)

    @property
    def image_id(self) -> str:
        return "sha256:" + digest_of(self.image)

    def listed(self) -> dict[str, Any]:
        return {
            "Id": self.id,
            "Names": [f"/another/{self.name}-alias", f"/{self.name}"],
            "Image": self.image,
            "ImageID": self.image_id,
            "Command": "/bin/sh -c 'sleep 3600'",
            "Created": self.created,
            "Ports": [],
            "Labels": self.labels,
            "State": self.state,
            "Status": self.status,
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "", "IPAddress": "", "DriverOpts": None}}},
            "Mounts": [],
        }

    def inspected(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "Status": self.state,
            "Running": self.state in ("running", "paused", "restarting"),
            "OOMKilled": self.oom_killed,
            "Pid": self.pid,
            "ExitCode": self.exit_code,
            "Error": "",
            "StartedAt": self.started,
            "FinishedAt": self.finished,
        }
        if self.health is not None:
            state["Health"] = {"Status": self.health, "FailingStreak": 0, "Log": []}
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "State": state,
            "RestartCount": self.restarts,
            "Config": {"Image": self.asked_image or self.image, "Env": ["PATH=/bin"], "Labels": self.labels},
            "HostConfig": {"Memory": self.memory, "NanoCpus": 0, "CgroupParent": ""},
        }


def whole(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return an answer with its length."""
    head = [f"HTTP/1.1 {status}", "Api-Version: 1.41", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(body: bytes) -> bytes:
    """Return an answer in two chunks, as the engine writes long ones."""
    half = len(body) // 2
    parts = [chunk(part) for part in (body[:half], body[half:]) if part]
    return STREAM_HEAD + b"".join(parts) + b"0\r\n\r\n"


def failure(status: str, message: str) -> bytes:
    return whole(json.dumps({"message": message}).encode(), status)


def saying(data: bytes) -> Handler:
    """Return a handler that writes this, whatever it is."""
    return lambda peer: peer.sendall(data)


def closing(data: bytes = b"") -> Handler:
    """Return a handler that writes this and hangs up."""

    def handle(peer: socket.socket) -> None:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_RDWR)

    return handle


def later(seconds: float, data: bytes) -> Handler:
    """Return a handler that takes its time, and writes this."""

    def handle(peer: socket.socket) -> None:
        time.sleep(seconds)
        peer.sendall(data)

    return handle


def silent(peer: socket.socket) -> None:
    """Never answer."""


def trickling(peer: socket.socket) -> None:
    """Answer a byte at a time, with no end."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n[")
    while True:
        peer.sendall(b" ")
        time.sleep(0.005)


class FakeEngine:
    """A listening socket with a thread for each connection; tests change `containers` and `ill` as they go."""

    def __init__(self, path: Path, containers: list[FakeContainer] | None = None) -> None:
        self.path = path
        self.containers = list(containers or ())
        self.ill: dict[str, Handler] = {}
        """By the first part of what is asked for without the version: "/containers/json", "/events", ..."""
        self.version = "1.41"
        self.asked: list[str] = []
        """Paths, without the version."""
        self.events: list[tuple[float, bytes]] = []
        self.failures: list[BaseException] = []
        self._streams: list[socket.socket] = []
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        self.drop_all()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self.path.unlink(missing_ok=True)
        assert not self.failures, self.failures

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._peers)

    def container(self, name: str) -> FakeContainer:
        return next(one for one in self.containers if one.name == name)

    def count(self, path: str) -> int:
        """Return how often paths with this in them were asked for."""
        return sum(path in asked for asked in self.asked)

    def emit(self, action: str, name: str) -> None:
        """Tell of something that happened to a container."""
        event = {
            "status": action,
            "Type": "container",
            "Action": action,
            "Actor": {"ID": self.container(name).id, "Attributes": {"name": name}},
            "time": int(time.time()),
            "timeNano": time.time_ns(),
        }
        line = json.dumps(event).encode() + b"\n"
        with self._lock:
            self.events.append((time.time(), line))
            for stream in self._streams:
                with contextlib.suppress(OSError):
                    stream.sendall(chunk(line))

    def drop_all(self) -> None:
        """Close every connection, as an engine that ends."""
        with self._lock:
            for peer in self._peers:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)
            self._streams.clear()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            self._answer_all(peer)
        except OSError:
            pass
        except BaseException as err:  # noqa: BLE001 -- told at the end of the test
            self.failures.append(err)
        with self._lock:
            self._peers.remove(peer)
            if peer in self._streams:
                self._streams.remove(peer)
        peer.close()

    def _answer_all(self, peer: socket.socket) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = peer.recv(65536)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            method, target, version = head.split(b"\r\n")[0].decode().split(" ")
            assert (method, version) == ("GET", "HTTP/1.1")
            assert b"\r\nHost: " in head
            self._answer(peer, target)

    def _answer(self, peer: socket.socket, target: str) -> None:
        url = urlsplit(target)
        path = url.path
        if path.startswith("/v"):
            path = path[path.index("/", 1) :]
        self.asked.append(path)
        ill = next((handler for start, handler in self.ill.items() if path.startswith(start)), None)
        if ill is not None:
            ill(peer)
        elif path == "/_ping":
            peer.sendall(whole(b"OK").replace(b"1.41", self.version.encode()))
        elif path == "/containers/json":
            assert url.query == "all=1"
            peer.sendall(chunked(json.dumps([one.listed() for one in self.containers]).encode() + b"\n"))
        elif path == "/events":
            self._stream(peer, parse_qs(url.query))
        elif found := [one for one in self.containers if path == f"/containers/{one.id}/json"]:
            peer.sendall(whole(json.dumps(found[0].inspected()).encode() + b"\n"))
        else:
            peer.sendall(failure("404 Not Found", "No such container: x"))

    def _stream(self, peer: socket.socket, query: dict[str, list[str]]) -> None:
        assert "start" in json.loads(query["filters"][0])["event"]
        with self._lock:
            peer.sendall(STREAM_HEAD)
            for moment, line in self.events:
                if moment >= float(query["since"][0]):
                    peer.sendall(chunk(line))
            self._streams.append(peer)


ENDED = "2023-11-15T01:02:03.5Z"


def every_state() -> list[FakeContainer]:
    """Return a container in each state, and what else there is to tell apart."""
    hungry = FakeContainer("hungry", state="exited", status="Exited (137) 1 second ago", exit_code=137, oom_killed=True)
    return [
        FakeContainer("web", health="healthy", status="Up 2 hours (healthy)", memory=256 << 20, pid=4711),
        FakeContainer("slow", health="starting", status="Up 3 seconds (health: starting)"),
        FakeContainer("sick", health="unhealthy", status="Up 2 hours (unhealthy)", restarts=4),
        FakeContainer("quiet", state="paused", status="Up 2 hours (Paused)"),
        FakeContainer("new", state="created", status="Created", started=NEVER),
        FakeContainer("done", state="exited", status="Exited (0) 2 days ago", finished=ENDED),
        FakeContainer("failed", state="exited", status="Exited (3) 2 days ago", exit_code=3, finished=ENDED),
        hungry,
        FakeContainer("loop", state="restarting", status="Restarting (1) 3 seconds ago", exit_code=1, restarts=7),
        FakeContainer("going", state="removing", status="Removal In Progress", finished=ENDED),
        FakeContainer("corpse", state="dead", status="Dead", exit_code=1, finished=ENDED),
    ]


def recorded(count: int) -> list[FakeContainer]:
    """Return many containers as long as real ones, one in ten exited."""
    return [
        FakeContainer(
            f"service-{number:04}-replica",
            image=f"registry.internal:5000/team-{number % 20}/service-{number % 200}:2.{number % 7}.{number % 13}",
            state="exited" if number % 10 == 9 else "running",
            status="Exited (3) 5 hours ago" if number % 10 == 9 else "Up 2 weeks (healthy)",
            exit_code=3 if number % 10 == 9 else 0,
            health=None if number % 10 == 9 else "healthy",
            labels={f"com.example.label-{n}": "a text of some length " * 2 for n in range(8)},
            memory=512 << 20,
        )
        for number in range(count)
    ]
