"""As much of D-Bus as it takes to ask a service of the system bus for something (D-Bus Specification 0.38).

A library for all of D-Bus costs more memory than the whole exporter: this calls methods that take strings, and reads
the types that come back.
"""

import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

BUS: Final = "org.freedesktop.DBus"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"

METHOD_CALL: Final = 1
METHOD_RETURN: Final = 2
ERROR: Final = 3

# fields of a message's header that are read or written
PATH: Final = 1
INTERFACE: Final = 2
MEMBER: Final = 3
ERROR_NAME: Final = 4
REPLY_SERIAL: Final = 5
DESTINATION: Final = 6
SENDER: Final = 7
SIGNATURE: Final = 8

# the reply about all units of a big machine takes 1 MB; the protocol would allow 128
MAX_MESSAGE: Final = 16 * 1024 * 1024
MAX_LINE: Final = 4096
# a bus drops who has more questions open than its max_replies_per_connection, 128 by default
MAX_OPEN: Final = 64

_FIXED: Final = "BBBBIII"
_NUMBERS: Final = {b"y": "B", b"b": "I", b"n": "h", b"q": "H", b"i": "i", b"u": "I", b"x": "q", b"t": "Q", b"d": "d"}


class BusError(Exception):
    """The bus cannot be reached, hangs or writes what is no D-Bus; the text names its socket."""


class Call(NamedTuple):
    """A method to call, with its string arguments."""

    destination: str
    path: str
    interface: str
    member: str
    arguments: tuple[str, ...] = ()


class Reply(NamedTuple):
    """What came back: a body, or the name of an error."""

    error: str | None
    body: "Body"


class Message(NamedTuple):
    """A message as it came: type, serial, header fields by code, and body."""

    kind: int
    serial: int
    fields: dict[int, str | int]
    body: "Body"


class Body:
    """Marshalled values, read from the front."""

    __slots__ = ("data", "offset", "order")

    def __init__(self, data: bytes, order: str = "<", offset: int = 0) -> None:
        self.data = data
        self.order = order
        self.offset = offset

    def align(self, size: int) -> None:
        """Go on at the next multiple of `size`."""
        self.offset = (self.offset + size - 1) // size * size

    def number(self, code: str) -> int | float:
        """Return the next number, of a type of struct's. Raises struct.error when the data ends before it."""
        size = struct.calcsize(code)
        self.align(size)
        value: int | float = struct.unpack_from(self.order + code, self.data, self.offset)[0]
        self.offset += size
        return value

    def string(self, length_code: str = "I") -> str:
        """Return the next string or path; `length_code` B for a signature. Raises struct.error likewise."""
        length = int(self.number(length_code))
        start, self.offset = self.offset, self.offset + length + 1
        if self.offset > len(self.data):
            raise struct.error("string beyond the end")
        return self.data[start : start + length].decode("utf-8", "replace")

    def variant(self) -> str | int | float:
        """Return the next variant of a basic type. Raises struct.error for another, or when the data ends in it."""
        signature = self.string("B").encode()
        if signature in _NUMBERS:
            return self.number(_NUMBERS[signature])
        if signature in (b"s", b"o"):
            return self.string()
        if signature == b"g":
            return self.string("B")
        raise struct.error(f"a variant of type {signature!r}")


def marshal(values: Sequence[str]) -> bytes:
    """Return strings as a body of type s for each."""
    out = b""
    for value in values:
        raw = value.encode()
        out += b"\0" * (-len(out) % 4) + struct.pack("<I", len(raw)) + raw + b"\0"
    return out


def encode(kind: int, serial: int, fields: Sequence[tuple[int, str, str | int]], body: bytes = b"") -> bytes:
    """Return a message; `fields` are code, type (s, o, g, u) and value of each header field."""
    header = b""
    for code, kind_of, value in fields:
        header += b"\0" * (-len(header) % 8) + struct.pack("<BB2s", code, 1, kind_of.encode() + b"\0")
        if isinstance(value, int):
            header += struct.pack("<I", value)
        else:
            raw = value.encode()
            header += struct.pack("<B" if kind_of == "g" else "<I", len(raw)) + raw + b"\0"
    start = struct.pack("<" + _FIXED, ord("l"), kind, 0, 1, len(body), serial, len(header))
    return start + header + b"\0" * (-len(header) % 8) + body


def encode_call(call: Call, serial: int = 0) -> bytes:
    """Return a method call; a connection puts the serial number in."""
    fields: list[tuple[int, str, str | int]] = [
        (PATH, "o", call.path),
        (DESTINATION, "s", call.destination),
        (INTERFACE, "s", call.interface),
        (MEMBER, "s", call.member),
    ]
    if call.arguments:
        fields.append((SIGNATURE, "g", "s" * len(call.arguments)))
    return encode(METHOD_CALL, serial, fields, marshal(call.arguments))


def message_size(data: bytes, start: int = 0) -> int:
    """Return how long the message at `start` is; 16, the least, while less is there. Raises struct.error."""
    if len(data) - start < 16:
        return 16
    _, _, _, version, body, _, fields = struct.unpack_from(_order(data, start) + _FIXED, data, start)
    size = int(16 + (fields + 7) // 8 * 8 + body)
    if version != 1 or size > MAX_MESSAGE:
        raise struct.error(f"version {version}, {size} bytes")
    return size


def decode(data: bytes) -> Message:
    """Return a whole message. Raises struct.error for what is none.

    Header fields are read here and not by Body: a scrape takes hundreds of small messages.
    """
    order = _order(data)
    _, kind, _, _, _, serial, length = struct.unpack_from(order + _FIXED, data)
    at, end = 16, 16 + length
    if end > len(data):
        raise struct.error("a header beyond the end")
    fields: dict[int, str | int] = {}
    while at < end:
        at = (at + 7) // 8 * 8
        code, signature = data[at], data[at + 1 : at + 4]
        if signature == b"\1u\0":
            fields[code] = int.from_bytes(data[at + 4 : at + 8], "little" if order == "<" else "big")
            at += 8
        elif signature in (b"\1s\0", b"\1o\0", b"\1g\0"):
            size = 1 if signature == b"\1g\0" else 4
            start = at + 4 + size
            at = start + int.from_bytes(data[at + 4 : start], "little" if order == "<" else "big") + 1
            fields[code] = data[start : at - 1].decode("utf-8", "replace")
        else:
            raise struct.error(f"a header field of type {signature!r}")
    if at != end:
        raise struct.error("a header beyond its end")
    return Message(kind, serial, fields, Body(data[(end + 7) // 8 * 8 :], order))


def _order(data: bytes, start: int = 0) -> str:
    byte = data[start : start + 1]
    if byte not in (b"l", b"B"):
        raise struct.error(f"byte order {byte!r}")
    return "<" if byte == b"l" else ">"


class Connection:
    """A connection to a message bus, as the user that runs this process. For one thread; every call has a deadline."""

    def __init__(self, path: str, timeout: float) -> None:
        """Connect to the socket at `path`, log in and say hello within `timeout` seconds. Raises BusError."""
        self._path = path
        self._timeout = timeout
        self._serial = 0
        self._received = b""
        self._start = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + timeout
        try:
            # by the kernel's own timer: Python's would take one more system call for each read
            limit = struct.pack("@ll", int(timeout), int(timeout % 1 * 1_000_000))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._socket.connect(path)
            self._log_in(deadline)
            self._say_hello()
        except OSError as err:
            self.close()
            raise BusError(f"{path}: {err.strerror or err}") from err
        except BusError:
            self.close()
            raise

    def _log_in(self, deadline: float) -> None:
        # EXTERNAL: the socket tells the bus who we are, the text only repeats it
        self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        while b"\r\n" not in self._received:
            if len(self._received) > MAX_LINE:
                raise BusError(f"{self._path}: no end of line in {MAX_LINE} bytes of the log-in")
            self._receive(deadline)
        line, _, self._received = self._received.partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise BusError(f"{self._path}: log-in refused: {line[:80]!r}")
        self._socket.sendall(b"BEGIN\r\n")

    def _say_hello(self) -> None:
        try:
            reply = self.call([encode_call(Call(BUS, "/org/freedesktop/DBus", BUS, "Hello"))])[0]
        except BusError as err:
            if not isinstance(err.__cause__, ConnectionError):
                raise
            # the log-in went well; then dbus-daemon looks the user up, and finds no DynamicUser= (systemd issue 22737)
            raise BusError(
                f"{self._path}: the bus dropped user {os.geteuid()} after the log-in, as dbus-daemon does with those"
                " that are not in /etc/passwd: run as a user who is there, not as one of systemd's DynamicUser="
            ) from err
        if reply.error is not None:
            raise BusError(f"{self._path}: hello refused: {reply.error}")

    def call(self, calls: Sequence[bytes]) -> list[Reply]:
        """Call methods, encoded by `encode_call`, many at a time; return their replies in the order of the calls.

        Blocks for the timeout, twice that where the bus trickles. Raises BusError when the bus is gone, silent or no
        bus: the connection is of no use then.
        """
        deadline = time.monotonic() + self._timeout
        replies: list[Reply] = []
        try:
            for start in range(0, len(calls), MAX_OPEN):
                replies += self._call_some(calls[start : start + MAX_OPEN], deadline)
        except (OSError, struct.error) as err:
            raise BusError(f"{self._path}: {err}") from err
        return replies

    def _call_some(self, calls: Sequence[bytes], deadline: float) -> list[Reply]:
        first = self._serial + 1
        self._serial += len(calls)
        numbered = (call[:8] + struct.pack("<I", serial) + call[12:] for serial, call in enumerate(calls, first))
        self._socket.sendall(b"".join(numbered))
        replies: dict[int, Reply] = {}
        while len(replies) < len(calls):
            message = self._next_message(deadline)
            serial = int(message.fields.get(REPLY_SERIAL, 0))
            if message.kind in (METHOD_RETURN, ERROR) and first <= serial <= self._serial:  # else a signal
                error = str(message.fields.get(ERROR_NAME)) if message.kind == ERROR else None
                replies[serial] = Reply(error, message.body)
        return [replies[serial] for serial in range(first, self._serial + 1)]

    def _next_message(self, deadline: float) -> Message:
        while len(self._received) - self._start < (size := message_size(self._received, self._start)):
            self._receive(deadline)
        start, self._start = self._start, self._start + size
        return decode(self._received[start : self._start])

    def _receive(self, deadline: float) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            data = None
        if data is None or time.monotonic() > deadline:
            raise TimeoutError(f"no answer within {self._timeout:g} s")
        if not data:
            raise ConnectionError("the bus closed the connection")
        self._received = self._received[self._start :] + data
        self._start = 0

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __del__(self) -> None:
        """Close the connection when its collector goes, as at a reload."""
        self.close()
