"""systemd as far as its bus interface tells of units: on a bus of its own for quick tests, or on a real dbus-daemon."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from exporter.clients.dbus import (
    BUS,
    DESTINATION,
    ERROR,
    ERROR_NAME,
    MEMBER,
    METHOD_RETURN,
    PATH,
    REPLY_SERIAL,
    SENDER,
    SIGNATURE,
    Connection,
    Message,
    decode,
    encode,
    message_size,
)

MANAGER = "/org/freedesktop/systemd1"
Value = tuple[str, str | int]


def path_of(unit: str) -> str:
    """Return a unit's object path, as systemd escapes it."""
    escaped = re.sub(r"[^A-Za-z0-9]|^[0-9]", lambda found: f"_{ord(found[0]):02x}", unit)
    return f"{MANAGER}/unit/{escaped}"


@dataclass
class FakeUnit:
    """One unit; `properties` are (signature, value) by (interface, name)."""

    name: str
    active: str = "active"
    load: str = "loaded"
    properties: dict[tuple[str, str], Value] = field(default_factory=dict)


def align(out: bytes, size: int) -> bytes:
    return out + b"\0" * (-len(out) % size)


def text(out: bytes, value: str) -> bytes:
    raw = value.encode()
    return align(out, 4) + struct.pack("<I", len(raw)) + raw + b"\0"


def variant(signature: str, value: str | int) -> bytes:
    out = struct.pack("<B", len(signature)) + signature.encode() + b"\0"
    if isinstance(value, str):
        return text(out, value)
    code = {"u": "I", "t": "Q", "b": "I", "i": "i", "x": "q"}[signature]
    return align(out, struct.calcsize(code)) + struct.pack("<" + code, value)


def list_units(units: list[FakeUnit]) -> bytes:
    out = b""
    for unit in units:
        out = align(out, 8)
        for value in (
            unit.name,
            f"Description of {unit.name}",
            unit.load,
            unit.active,
            "running",
            "",
            path_of(unit.name),
        ):
            out = text(out, value)
        out = align(out, 4) + struct.pack("<I", 0)
        out = text(text(out, ""), "/")
    return align(struct.pack("<I", len(out)), 8) + out


class FakeSystemd:
    """Answers calls; tests change `units` and `manager` as they go."""

    def __init__(self, units: list[FakeUnit] | None = None) -> None:
        self.units = units if units is not None else []
        self.manager: dict[str, Value] = {"Version": ("s", "252.38-1~deb12u1"), "SystemState": ("s", "running")}
        self.asked: list[tuple[str, ...]] = []

    def answer(self, message: Message) -> tuple[str, bytes] | str:
        """Return signature and body, or the name of an error."""
        member = message.fields[MEMBER]
        if member == "ListUnits":
            self.asked.append(("ListUnits",))
            return "a(ssssssouso)", list_units(self.units)
        if member == "Hello":
            return "s", text(b"", ":1.1")
        if member != "Get":
            return "org.freedesktop.DBus.Error.UnknownMethod"
        interface, name = message.body.string(), message.body.string()
        interface = interface.rpartition(".")[2]
        self.asked.append((interface, name))
        found = self.manager.get(name) if interface == "Manager" else None
        for unit in self.units:
            if path_of(unit.name) == message.fields[PATH]:
                found = unit.properties.get((interface, name))
        return "org.freedesktop.DBus.Error.UnknownProperty" if found is None else ("v", variant(*found))

    def reply(self, message: Message, our_serial: int) -> bytes:
        """Return the whole reply to a message."""
        answer = self.answer(message)
        sender = message.fields.get(SENDER)
        fields: list[tuple[int, str, str | int]] = [(REPLY_SERIAL, "u", message.serial)]
        if sender is not None:
            fields.append((DESTINATION, "s", str(sender)))
        if isinstance(answer, str):
            return encode(ERROR, our_serial, [*fields, (ERROR_NAME, "s", answer)])
        return encode(METHOD_RETURN, our_serial, [*fields, (SIGNATURE, "g", answer[0])], answer[1])


Handler = Callable[[socket.socket], None]


def read_line(peer: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\r\n"):
        byte = peer.recv(1)
        if not byte:
            raise ConnectionError
        line += byte
    return line


def read_message(peer: socket.socket) -> Message:
    data = b""
    while len(data) < 16 or len(data) < message_size(data):
        more = peer.recv((message_size(data) if len(data) >= 16 else 16) - len(data))
        if not more:
            raise ConnectionError
        data += more
    return decode(data)


def log_in(peer: socket.socket) -> None:
    assert read_line(peer).startswith(b"\0AUTH EXTERNAL ")
    peer.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
    assert read_line(peer) == b"BEGIN\r\n"


class FakeBus:
    """A listening socket; `handler` has each connection on a thread: by default one that speaks for systemd."""

    def __init__(self, path: Path, systemd: FakeSystemd | None = None, handler: Handler | None = None) -> None:
        self.path = str(path)
        self.systemd = systemd or FakeSystemd()
        self.connections = 0
        self._handler = handler or self._speak
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            self._handler(peer)
        except OSError:
            peer.close()

    def _speak(self, peer: socket.socket) -> None:
        log_in(peer)
        ours = 0
        while True:
            message = read_message(peer)
            ours += 1
            if message.fields[MEMBER] == "Hello":  # the bus itself tells everybody of a new name: nothing we asked for
                peer.sendall(encode(4, ours, [(PATH, "o", "/x"), (2, "s", BUS), (MEMBER, "s", "NameAcquired")]))
                ours += 1
            peer.sendall(self.systemd.reply(message, ours))

    def drop_all(self) -> None:
        """Close every connection, as a bus does that is restarted."""
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        self._peers.clear()

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        peers = list(self._peers)
        self.drop_all()
        for thread in [self._thread, *self._threads]:
            thread.join(10)
        for peer in peers:
            peer.close()
        Path(self.path).unlink()


class OnBus(Connection):
    """The fake systemd as a service on a real bus: own its name, answer until the bus goes."""

    def __init__(self, path: str, systemd: FakeSystemd) -> None:
        super().__init__(path, 10)
        arguments = struct.pack("<I", 24) + b"org.freedesktop.systemd1\0" + b"\0\0\0" + struct.pack("<I", 0)
        fields: list[tuple[int, str, str | int]] = [
            (PATH, "o", "/org/freedesktop/DBus"), (DESTINATION, "s", BUS), (2, "s", BUS),
            (MEMBER, "s", "RequestName"), (SIGNATURE, "g", "su"),
        ]  # fmt: skip
        self._socket.sendall(encode(1, 1000, fields, arguments))
        self._systemd = systemd
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        serial = 2000
        self._socket.settimeout(None)
        pending, self._received = self._received, b""
        while True:
            try:
                while len(pending) < message_size(pending):
                    more = self._socket.recv(65536)
                    if not more:
                        return
                    pending += more
                size = message_size(pending)
                data, pending = pending[:size], pending[size:]
                message = decode(data)
                if message.kind == 1:
                    serial += 1
                    self._socket.sendall(self._systemd.reply(message, serial))
            except OSError:
                return

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self.close()
