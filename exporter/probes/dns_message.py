"""DNS messages (RFC 1035), as much as a check asks and hears: a library for all of it takes 6 MB.

Every length and pointer comes from the network: whatever is wrong with one is a ValueError, and nothing loops.
"""

import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

CLASS_INTERNET: Final = 1
TYPES: Final = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
CODES: Final = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")

_HEADER: Final = struct.Struct("!HHHHHH")
_RESPONSE: Final = 0x8000
_TRUNCATED: Final = 0x0200
_RECURSION: Final = 0x0100
_MAX_NAME: Final = 255
# printed as they are; others as in a zone file (5.1)
_PLAIN: Final = frozenset(b"!#$%&'*+,-/0123456789:<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~")


class Question(NamedTuple):
    """What is asked, and what its answer must repeat."""

    identifier: int
    name: str
    kind: int
    recursion: bool


class Reply(NamedTuple):
    """An answer to our question."""

    code: str
    is_truncated: bool
    records: tuple[str, ...]
    """The data of the records of the kind that was asked for, as a zone file has them."""


def encode(question: Question) -> bytes:
    """Return a query, in small letters, which an answer's names repeat. Raises ValueError for what is no name."""
    flags = _RECURSION if question.recursion else 0
    return _HEADER.pack(question.identifier, flags, 1, 0, 0, 0) + _encode_question(question)


def _encode_question(question: Question) -> bytes:
    return _encode_name(question.name) + struct.pack("!HH", question.kind, CLASS_INTERNET)


def _encode_name(name: str) -> bytes:
    out = b""
    for label in name.removesuffix(".").lower().encode("ascii").split(b"."):
        if len(label) > 63 or (not label and name != "."):
            raise ValueError(f"a label of {len(label)} octets")
        out += bytes([len(label)]) + label if label else b""
    if len(out) >= _MAX_NAME:
        raise ValueError(f"a name of {len(out)} octets")
    return out + b"\0"


def decode(data: bytes, question: Question) -> Reply | None:
    """Return the reply; None for a message that answers something else. Raises ValueError for a broken answer."""
    if len(data) < _HEADER.size:
        return None
    identifier, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if identifier != question.identifier or not flags & _RESPONSE:
        return None
    code = flags & 15
    named = CODES[code] if code < len(CODES) else str(code)
    at = _HEADER.size
    if questions == 0 and named in (
        "FORMERR",
        "NOTIMP",
        "SERVFAIL",
        "REFUSED",
    ):  # some repeat nothing of what they refuse
        return Reply(named, is_truncated=False, records=())
    try:
        asked, at = _question(data, at)
        if questions != 1 or asked != (question.name.removesuffix(".").lower() + ".", question.kind, CLASS_INTERNET):
            return None
        if flags & _TRUNCATED:
            return Reply(named, is_truncated=True, records=())
        return Reply(named, is_truncated=False, records=tuple(_records(data, at, answers, question.kind)))
    except (struct.error, IndexError) as err:
        raise ValueError(f"it ends in the middle: {err}") from err


def _question(data: bytes, at: int) -> tuple[tuple[str, int, int], int]:
    name, at = _name(data, at)
    kind, group = struct.unpack_from("!HH", data, at)
    plain = name.lower().replace("\\", "")
    return (plain if plain != "." else ".", kind, group), at + 4


def _records(data: bytes, at: int, count: int, wanted: int) -> list[str]:
    out = []
    for _ in range(count):
        _, at = _name(data, at)
        kind, group, _, length = struct.unpack_from("!HHIH", data, at)
        at += 10
        if at + length > len(data):
            raise ValueError("a record goes on behind the end")
        if kind == wanted and group == CLASS_INTERNET:
            out.append(_DATA[kind](data, at, length))
        at += length
    return out


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Return the name at a place, and where the next thing stands. A pointer only ever leads back."""
    labels: list[str] = []
    after, size, limit = -1, 0, at + 1
    while True:
        length = data[at]
        if length >= 0xC0:
            pointer = (length & 0x3F) << 8 | data[at + 1]
            after = at + 2 if after < 0 else after
            if pointer >= limit - 1:
                raise ValueError("a pointer that does not lead back")
            at, limit = pointer, pointer + 1
            continue
        if length > 63:
            raise ValueError(f"a label of type {length >> 6}")
        label = data[at + 1 : at + 1 + length]
        size += length + 1
        if len(label) < length or size > _MAX_NAME:
            raise ValueError("a name that is too long")
        at += length + 1
        if not length:
            return "".join(f"{part}." for part in labels) or ".", at if after < 0 else after
        labels.append("".join(chr(byte) if byte in _PLAIN else _escaped(byte) for byte in label))


def _escaped(byte: int) -> str:
    return f"\\{chr(byte)}" if 0x20 < byte < 0x7F else f"\\{byte:03d}"


def _address_4(data: bytes, at: int, length: int) -> str:
    return socket.inet_ntop(socket.AF_INET, data[at : at + length])


def _address_6(data: bytes, at: int, length: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, data[at : at + length])


def _one_name(data: bytes, at: int, _: int) -> str:
    return _name(data, at)[0]


def _mail(data: bytes, at: int, _: int) -> str:
    (preference,) = struct.unpack_from("!H", data, at)
    return f"{preference} {_name(data, at + 2)[0]}"


def _service(data: bytes, at: int, _: int) -> str:
    priority, weight, port = struct.unpack_from("!HHH", data, at)
    return f"{priority} {weight} {port} {_name(data, at + 6)[0]}"


def _authority(data: bytes, at: int, _: int) -> str:
    primary, at = _name(data, at)
    mailbox, at = _name(data, at)
    return " ".join((primary, mailbox, *map(str, struct.unpack_from("!IIIII", data, at))))


def _text(data: bytes, at: int, length: int) -> str:
    """Return a text's parts in one, as SPF and DKIM read them (RFC 7208 3.3)."""
    out, end = b"", at + length
    while at < end:
        size = data[at]
        if at + 1 + size > end:
            raise ValueError("a text that goes on behind its record")
        out += data[at + 1 : at + 1 + size]
        at += 1 + size
    return out.decode("utf-8", "replace")


_DATA: Final[dict[int, Callable[[bytes, int, int], str]]] = {
    1: _address_4,
    2: _one_name,
    5: _one_name,
    6: _authority,
    12: _one_name,
    15: _mail,
    16: _text,
    28: _address_6,
    33: _service,
}
