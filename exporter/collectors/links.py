"""Network devices by rtnetlink: one answer for all of them, and the kernel's word when it would differ.

man rtnetlink(7), linux/if_link.h. What comes out bears the names and the texts of the files of /sys/class/net/DEVICE.
"""

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from exporter.kernel import KernelError

Attributes = dict[str, bytes]
"""File name below /sys/class/net/DEVICE to its text; what the file would refuse to tell is not there."""

_MESSAGE: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, hardware type, index, flags, change
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr: length, type
_U32: Final = struct.Struct("=I")
_I32: Final = struct.Struct("=i")

_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_RTM_NEWLINK: Final = 16
_RTM_GETLINK: Final = 18
_NLM_F_REQUEST_DUMP: Final = 0x301
_NLM_F_DUMP_INTR: Final = 0x10
_RTMGRP_LINK: Final = 1
_ATTRIBUTE_TYPE: Final = 0x3FFF  # above are flags

_ADDRESS, _BROADCAST, _IFNAME, _MTU, _IFLINK = 1, 2, 3, 4, 5
_TXQLEN, _OPERSTATE, _LINKMODE, _IFALIAS = 13, 16, 17, 20
_EXT_MASK, _GROUP, _PROMISCUITY, _CARRIER, _CARRIER_CHANGES = 29, 27, 30, 33, 35
_CARRIER_UP_COUNT, _CARRIER_DOWN_COUNT, _ALLMULTI = 47, 48, 61
_SKIP_STATS: Final = 8

_IFF_UP: Final = 0x1
_IFF_PROMISC: Final = 0x100
_IFF_ALLMULTI: Final = 0x200
_IFF_DORMANT: Final = 0x20000
# what the kernel computes for the message, other than the device's own bits: IFF_RUNNING, LOWER_UP, DORMANT
_COMPUTED_FLAGS: Final = 0x40 | 0x10000 | _IFF_DORMANT

# RFC 2863's states in the order of IF_OPER_*
_STATES: Final = (b"unknown", b"notpresent", b"down", b"lowerlayerdown", b"testing", b"dormant", b"up")

_COUNTS: Final = {
    _MTU: "mtu",
    _TXQLEN: "tx_queue_len",
    _GROUP: "netdev_group",
    _CARRIER_CHANGES: "carrier_changes",
    _CARRIER_UP_COUNT: "carrier_up_count",
    _CARRIER_DOWN_COUNT: "carrier_down_count",
}
_OURS: Final = frozenset(
    (
        _ADDRESS,
        _BROADCAST,
        _IFNAME,
        _IFLINK,
        _OPERSTATE,
        _LINKMODE,
        _IFALIAS,
        _PROMISCUITY,
        _CARRIER,
        _ALLMULTI,
        *_COUNTS,
    )
)
_COUNTERS: Final = (7, 23)  # IFLA_STATS, IFLA_STATS64
_MAX_KNOWN: Final = 4096
_ATTEMPTS: Final = 3
_ANSWER_SECONDS: Final = 5
_BUFFER: Final = 65536


class Link(NamedTuple):
    """One device as one message tells of it."""

    name: str
    """As os.listdir has it: bytes that are no UTF-8 are lone surrogates."""
    attributes: Attributes


class Links:
    """The devices of this process' network namespace; two sockets, opened by the constructor.

    Raises OSError where there is no rtnetlink (a sandbox without AF_NETLINK).
    """

    def __init__(self) -> None:
        self._events = self._questions = _open()
        self._events.bind((0, _RTMGRP_LINK))
        # a few events say as much as many: when the buffer overflows, the kernel tells that too
        self._events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self._poll = select.poll()
        self._poll.register(self._events, select.POLLIN | select.POLLERR)
        self._questions = _open()
        self._questions.settimeout(_ANSWER_SECONDS)
        self._last: dict[bytes, tuple[bytes, Link]] = {}

    def changed(self) -> bool:
        """Whether the kernel told of a change since the last call; never blocks."""
        told = False
        while self._poll.poll(0):
            told = True
            try:
                self._events.recv(1)  # the rest of the message is dropped
            except OSError as err:
                if err.errno != errno.ENOBUFS:  # more changes than fit; the error is gone once told
                    raise
        return told

    def read(self) -> list[Link]:
        """Return all devices; may block while somebody holds the kernel's lock. Raises KernelError."""
        try:
            for _ in range(_ATTEMPTS):
                links, whole = self._ask()
                if whole:
                    break
        except OSError as err:
            self._questions.close()
            self._questions = _open()
            self._questions.settimeout(_ANSWER_SECONDS)
            raise KernelError(f"rtnetlink: {err.strerror or err}") from err
        return links

    def _ask(self) -> tuple[list[Link], bool]:
        """Return the devices, and whether none came or went meanwhile."""
        self._questions.send(_question())
        links: list[Link] = []
        whole = True
        while True:
            for kind, flags, body in parse_messages(self._questions.recv(_BUFFER)):
                whole = whole and not flags & _NLM_F_DUMP_INTR
                if kind == _NLMSG_DONE:
                    return links, whole
                if kind == _NLMSG_ERROR:
                    code = -_I32.unpack_from(body)[0]
                    raise OSError(code, os.strerror(code))
                if kind == _RTM_NEWLINK:
                    links.append(self._link(body))

    def _link(self, body: bytes) -> Link:
        """Return what a message tells; one that differs from the last in its counters only is not parsed again."""
        index = body[4:8]
        last = self._last.get(index)
        if last is None or not body.startswith(last[0]):
            if len(self._last) >= _MAX_KNOWN:
                self._last.clear()
            last = self._last[index] = before_counters(body), parse_link(body)
        return last[1]

    def close(self) -> None:
        """Close both sockets."""
        self._events.close()
        self._questions.close()

    def __del__(self) -> None:
        """Close the sockets when the collector goes, as at a reload."""
        self.close()


def _open() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)


def _question() -> bytes:
    length = _MESSAGE.size + _LINK.size + _ATTRIBUTE.size + _U32.size
    return (
        _MESSAGE.pack(length, _RTM_GETLINK, _NLM_F_REQUEST_DUMP, 1, 0)
        + _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        + _ATTRIBUTE.pack(_ATTRIBUTE.size + _U32.size, _EXT_MASK)
        + _U32.pack(_SKIP_STATS)
    )


def parse_messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, flags and body of each message of one datagram. Raises KernelError when one is cut short."""
    start = 0
    while start < len(data):
        if start + _MESSAGE.size > len(data):
            raise KernelError("rtnetlink: a message is cut short")
        length, kind, flags, _, _ = _MESSAGE.unpack_from(data, start)
        if not _MESSAGE.size <= length <= len(data) - start:
            raise KernelError(f"rtnetlink: a message of {length} bytes is cut short")
        yield kind, flags, data[start + _MESSAGE.size : start + length]
        start += (length + 3) & ~3


def parse_attributes(data: bytes, start: int) -> dict[int, bytes]:
    """Return the attributes that begin at `start`, by type. Raises KernelError when one is cut short."""
    out: dict[int, bytes] = {}
    while start + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if not _ATTRIBUTE.size <= length <= len(data) - start:
            raise KernelError(f"rtnetlink: attribute {kind} of {length} bytes is cut short")
        out[kind & _ATTRIBUTE_TYPE] = data[start + _ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3
    return out


def before_counters(body: bytes) -> bytes:
    """Return the part of a message that ends where its counters begin, all of it if something of ours comes later.

    Raises KernelError when an attribute is cut short.
    """
    kinds = list(parse_attributes(body, _LINK.size))
    counters = [kind for kind in kinds if kind in _COUNTERS]
    if not counters or _OURS & set(kinds[kinds.index(counters[0]) :]):
        return body
    start = _LINK.size
    while True:
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        if kind & _ATTRIBUTE_TYPE in _COUNTERS:
            return body[:start]
        start += (length + 3) & ~3


def parse_link(body: bytes) -> Link:
    """Return the device that one RTM_NEWLINK message tells of. Raises KernelError when what must be there is not."""
    try:
        _, hardware, index, flags, _ = _LINK.unpack_from(body)
        raw = parse_attributes(body, _LINK.size)
        attributes = {
            "ifindex": b"%d" % index,
            "type": b"%d" % hardware,
            "iflink": b"%d" % (_I32.unpack(raw[_IFLINK])[0] if _IFLINK in raw else index),
            "operstate": _STATES[raw[_OPERSTATE][0]],
            "link_mode": b"%d" % raw[_LINKMODE][0],
            "address": raw.get(_ADDRESS, b"").hex(":").encode() if raw.get(_ADDRESS) else b"",
            "broadcast": raw.get(_BROADCAST, b"").hex(":").encode() if raw.get(_BROADCAST) else b"",
            "ifalias": raw.get(_IFALIAS, b"").rstrip(b"\0"),
        }
        attributes |= {name: b"%d" % _U32.unpack(raw[kind])[0] for kind, name in _COUNTS.items() if kind in raw}
        if flags & _IFF_UP:  # the files of a device that is down refuse to tell these two
            attributes["carrier"] = b"%d" % raw[_CARRIER][0]
            attributes["dormant"] = b"1" if flags & _IFF_DORMANT else b"0"
        if _ALLMULTI in raw:  # since Linux 6.0; without it the bits cannot be told
            attributes["flags"] = b"0x%x" % _own_flags(flags, raw)
        return Link(os.fsdecode(raw[_IFNAME].rstrip(b"\0")), attributes)
    except (struct.error, KeyError, IndexError) as err:
        raise KernelError(f"rtnetlink: expected a device, got {body[:80]!r}") from err


def _own_flags(flags: int, raw: dict[int, bytes]) -> int:
    """Return the device's own bits: a message has IFF_PROMISC and IFF_ALLMULTI only where a user set them."""
    flags &= ~(_COMPUTED_FLAGS | _IFF_PROMISC | _IFF_ALLMULTI)
    flags |= _IFF_PROMISC if _U32.unpack(raw[_PROMISCUITY])[0] else 0
    return flags | (_IFF_ALLMULTI if _U32.unpack(raw[_ALLMULTI])[0] else 0)
