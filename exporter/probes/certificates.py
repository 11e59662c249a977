"""What a certificate says of its own time (RFC 5280), read from its DER: a library for all of X.509 takes 17 MB."""

import calendar
from typing import Final, NamedTuple

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0  # [0] EXPLICIT
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


class Validity(NamedTuple):
    """From when to when a certificate holds, seconds since the epoch."""

    not_before: float
    not_after: float


class _Reader:
    """Elements of DER, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def peek(self) -> int:
        return self._data[self._at]

    def next(self, expected: int | None = None) -> bytes:
        """Return the contents of the next element. Raises ValueError for another kind than expected, IndexError."""
        tag, length = self._data[self._at], self._data[self._at + 1]
        start = self._at + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(self._data[start : start + size], "big")
            start += size
        self._at = start + length
        if self._at > len(self._data) or (expected is not None and tag != expected):
            raise ValueError(f"element {tag:#x} of {length} bytes")
        return self._data[start : self._at]


def parse_validity(der: bytes) -> Validity:
    """Return a certificate's time, as its own words have it. Raises ValueError for what is no certificate."""
    try:
        body = _Reader(_Reader(_Reader(der).next(_SEQUENCE)).next(_SEQUENCE))
        if body.peek() == _VERSION:
            body.next()
        for _ in ("serial number", "signature", "issuer"):
            body.next()
        validity = body.next(_SEQUENCE)
        reader = _Reader(validity)
        return Validity(_time(reader), _time(reader))
    except (IndexError, ValueError) as err:
        raise ValueError(f"not a certificate: {err}") from err


def _time(reader: _Reader) -> float:
    tag = reader.peek()
    text = reader.next().decode("ascii")
    if tag == _UTC_TIME:  # two digits of a year: 50 to 99 are the last century's (4.1.2.5.1)
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"time of type {tag:#x}")
    if len(text) != 15 or text[14] != "Z" or not text[:14].isdigit():
        raise ValueError(f"time {text!r}")
    year, *rest = int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))
    return float(calendar.timegm((year, *rest)))
