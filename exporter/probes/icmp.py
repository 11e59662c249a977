"""ICMP echo on one socket per address family: packets, the kernel's receive timestamps, and errors that come back.

Ping sockets (SOCK_DGRAM, icmp(7)) need no privilege where net.ipv4.ping_group_range has our group; raw(7) ones need
CAP_NET_RAW. Both say the same here, but that a raw socket sums up its packets itself and sees everybody's answers: a
filter in the kernel leaves it those to our id.
"""

import errno
import os
import socket
import struct
from array import array
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from exporter.probes.attempt import Reason, reason_of
from exporter.probes.resolver import SocketAddress

COOKIE_BYTES: Final = 16

Controls = list[tuple[int, int, bytes]]
"""Control messages as recvmsg gives them."""

_HEADER: Final = struct.Struct("!BBHHH")
_SO_TIMESTAMPNS: Final = 35  # include/uapi/asm-generic/socket.h; the control message has the same number
_TIMESPEC: Final = struct.Struct("@ll")
_STAMP_ROOM: Final = socket.CMSG_SPACE(_TIMESPEC.size)
_SO_ATTACH_FILTER: Final = 26
_EXTENDED_ERR: Final = struct.Struct("@IBBBBII")  # struct sock_extended_err of linux/errqueue.h
_ERROR_ROOM: Final = socket.CMSG_SPACE(_EXTENDED_ERR.size + 28) + _STAMP_ROOM
_ORIGIN_LOCAL: Final = 1
_RECEIVE_BUFFER: Final = 1 << 20
_MOST_PER_TURN: Final = 1024
_TRIES: Final = 2
# the longest header of IPv4, that of ICMP and the cookie: the rest of an answer tells nothing
_ENOUGH: Final = 60 + _HEADER.size + COOKIE_BYTES


class Mode(StrEnum):
    """The kind of socket that works."""

    DATAGRAM = "datagram"
    RAW = "raw"
    NONE = "none"


class Answer(NamedTuple):
    """An echo reply to our id."""

    sequence: int
    cookie: bytes
    source: str
    stamp: int | None
    """When the kernel received it, nanoseconds of CLOCK_REALTIME."""


class Trouble(NamedTuple):
    """An error about a packet of ours, from a router, a firewall, the target's host or this machine's own kernel."""

    sequence: int
    destination: str
    reason: Reason


class _Protocol(NamedTuple):
    """What differs between ICMP and ICMPv6."""

    number: int
    request: int
    reply: int
    error_level: int
    error_option: int
    prohibited: frozenset[tuple[int, int]]
    """Types and codes that say that asking is forbidden (RFC 1812 5.2.7.1, RFC 4443 3.1)."""
    filter_level: int
    only_replies: bytes
    """The socket filter by type (ICMP_FILTER, ICMP6_FILTER, both option 1): a set bit blocks."""


_V4: Final = _Protocol(
    number=socket.IPPROTO_ICMP,
    request=8,
    reply=0,
    error_level=socket.IPPROTO_IP,
    error_option=11,  # IP_RECVERR
    prohibited=frozenset({(3, 9), (3, 10), (3, 13)}),
    filter_level=255,  # SOL_RAW
    only_replies=struct.pack("@I", ~(1 << 0) & 0xFFFFFFFF),
)
_V6: Final = _Protocol(
    number=socket.IPPROTO_ICMPV6,
    request=128,
    reply=129,
    error_level=socket.IPPROTO_IPV6,
    error_option=25,  # IPV6_RECVERR
    prohibited=frozenset({(1, 1), (1, 5), (1, 6)}),
    filter_level=socket.IPPROTO_ICMPV6,
    only_replies=struct.pack(
        "@8I", *(0xFFFFFFFF & ~(1 << (129 % 32) if word == 129 // 32 else 0) for word in range(8))
    ),
)


class Codec:
    """Requests under one id, and what comes back to them."""

    def __init__(self, family: int, mode: Mode, identifier: int, payload_bytes: int) -> None:
        self._protocol = _V6 if family == socket.AF_INET6 else _V4
        self._identifier = identifier
        # what a raw socket of IPv4 does by itself, the kernel does on every other
        self._is_bare = mode is Mode.RAW and family == socket.AF_INET
        self._padding = bytes(max(payload_bytes - COOKIE_BYTES, 0))

    def request(self, sequence: int, cookie: bytes) -> bytes:
        """Return an echo request."""
        kind = self._protocol.request
        body = cookie + self._padding
        packet = _HEADER.pack(kind, 0, 0, self._identifier, sequence) + body
        return _HEADER.pack(kind, 0, checksum(packet), self._identifier, sequence) + body if self._is_bare else packet

    def answer(self, data: bytes, control: Controls, source: str) -> Answer | None:
        """Return the answer that a socket received; None for anything else."""
        start = (data[0] & 15) * 4 if self._is_bare and data else 0
        end = start + _HEADER.size + COOKIE_BYTES
        if len(data) < end:
            return None
        kind, _, _, identifier, sequence = _HEADER.unpack_from(data, start)
        if kind != self._protocol.reply or identifier != self._identifier:
            return None
        return Answer(sequence, data[end - COOKIE_BYTES : end], source, _stamp_in(control))

    def trouble(self, data: bytes, control: Controls, to: str) -> Trouble | None:
        """Return what a socket's error queue held about a packet of ours; None for anything else."""
        protocol = self._protocol
        for level, kind, value in control:
            if (level, kind) == (protocol.error_level, protocol.error_option) and len(value) >= _EXTENDED_ERR.size:
                number, origin, icmp_type, code, *_ = _EXTENDED_ERR.unpack_from(value)
                break
        else:
            return None
        # what is quoted is the packet from its ICMP header on; RFC 792 lets a router quote no more than that
        if len(data) < _HEADER.size:
            return None
        request, _, _, identifier, sequence = _HEADER.unpack_from(data)
        if request != protocol.request or identifier != self._identifier:
            return None
        return Trouble(sequence, to, self._judge(number, origin, icmp_type, code))

    def _judge(self, number: int, origin: int, icmp_type: int, code: int) -> Reason:
        if origin == _ORIGIN_LOCAL:
            return reason_of(OSError(number, os.strerror(number)))
        return Reason.NO_PERMISSION if (icmp_type, code) in self._protocol.prohibited else Reason.HOST_UNREACHABLE


class EchoSocket:
    """A non-blocking socket for echo requests to any number of hosts of one address family."""

    def __init__(self, family: int, mode: Mode, payload_bytes: int) -> None:
        """Open it. Raises PermissionError where this process may not, OSError where the family is not there."""
        self.mode = mode
        protocol = _V6 if family == socket.AF_INET6 else _V4
        kind = socket.SOCK_RAW if mode is Mode.RAW else socket.SOCK_DGRAM
        self._troubled = False
        self._socket = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol.number)
        try:
            self._set_options(protocol)
            identifier = self._filter(family) if mode is Mode.RAW else self._bind()
        except BaseException:
            self._socket.close()
            raise
        codec = Codec(family, mode, identifier, payload_bytes)
        self.request, self._answer, self._trouble = codec.request, codec.answer, codec.trouble

    def _set_options(self, protocol: _Protocol) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.setsockopt(protocol.error_level, protocol.error_option, 1)
        if self.mode is Mode.RAW:
            self._socket.setsockopt(protocol.filter_level, 1, protocol.only_replies)

    def _bind(self) -> int:
        """Take a random id, so that nobody can guess the next one; the kernel would count up from the last."""
        for _ in range(10):
            try:
                self._socket.bind(("", _random_identifier()))
                break
            except OSError as err:
                if err.errno != errno.EADDRINUSE:
                    raise
        else:
            self._socket.bind(("", 0))
        return int(self._socket.getsockname()[1])

    def _filter(self, family: int) -> int:
        """Take a random id, and let the kernel drop what answers others: a flood by another ping must not wake us."""
        identifier = _random_identifier()
        # IPv4: X = length of the IP header, A = the half-word 4 behind it; IPv6 begins with its ICMP header
        load = [(0x28, 0, 0, 4)] if family == socket.AF_INET6 else [(0xB1, 0, 0, 0), (0x48, 0, 0, 4)]
        program = [*load, (0x15, 0, 1, identifier), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]
        code = array("B", b"".join(struct.pack("@HBBI", *step) for step in program))
        address, _ = code.buffer_info()
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), address))
        return identifier

    def send(self, packet: bytes, to: SocketAddress) -> None:
        """Send a `request`. Raises OSError for what this machine itself has against it."""
        for _ in range(_TRIES):
            try:
                self._socket.sendto(packet, to)
            except OSError:
                # what an earlier packet met is told to whoever calls next (ip(7), IP_RECVERR): ask again without that
                self._troubled = True
                self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            else:
                return
        self._socket.sendto(packet, to)

    def answers(self) -> Iterator[Answer]:
        """Yield the answers that have come, each as it is read; at most 1024, so that a flood cannot hold the loop.

        To be called before `troubles`: the kernel tells here that there are some.
        """
        receive = self._socket.recvmsg
        for _ in range(_MOST_PER_TURN):
            try:
                data, control, _, source = receive(_ENOUGH, _STAMP_ROOM)
            except BlockingIOError:
                return
            except OSError:  # what an earlier packet met, told to whoever calls next
                self._troubled = True
                continue
            answer = self._answer(data, control, source[0])
            if answer is not None:
                yield answer

    def troubles(self) -> list[Trouble]:
        """Return the errors that have come about packets of ours; a system call only where there is one."""
        out: list[Trouble] = []
        if not self._troubled:
            return out
        self._troubled = False
        for _ in range(_MOST_PER_TURN):
            try:
                data, control, _, to = self._socket.recvmsg(_ENOUGH, _ERROR_ROOM, socket.MSG_ERRQUEUE)
            except OSError:
                break
            trouble = self._trouble(data, control, str(to[0]) if to else "")
            if trouble is not None:
                out.append(trouble)
        return out

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def open_socket(family: int, payload_bytes: int) -> EchoSocket:
    """Return a socket of the kind that works here, a ping socket before a raw one.

    Raises PermissionError where neither is allowed, another OSError where this machine has no such family.
    """
    try:
        return EchoSocket(family, Mode.DATAGRAM, payload_bytes)
    except OSError as err:
        if err.errno not in (errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT):  # the last: a kernel before 3.0
            raise
    return EchoSocket(family, Mode.RAW, payload_bytes)


def checksum(packet: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of a packet whose own field is 0."""
    # in the ones' complement of 16 bits, 65536 is 1: the sum of the words is the whole number's remainder
    whole = int.from_bytes(packet + b"\0" * (len(packet) % 2), "big")
    return ~(whole % 0xFFFF) & 0xFFFF


def _random_identifier() -> int:
    return int.from_bytes(os.urandom(2), "big") or 1  # 0 asks the kernel to choose


def _stamp_in(control: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, value in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(value) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None
