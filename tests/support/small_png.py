"""Makes a screenshot small: 216 colours instead of 16 million, a third of the bytes (W3C, PNG, second edition)."""

import struct
import zlib
from pathlib import Path
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# six shades of red, green and blue each: a byte of colour becomes the nearest shade, times its place in the palette
_SHADES: Final = [bytes(round(value / 51) * place for value in range(256)) for place in (36, 6, 1)]
_PALETTE: Final = bytes(
    shade * 51 for red in range(6) for green in range(6) for blue in range(6) for shade in (red, green, blue)
)


def shrink(file: Path) -> None:
    """Write a PNG of 8-bit RGB anew, with a palette. Raises ValueError for any other."""
    chunks = _chunks(file.read_bytes())
    head = chunks[b"IHDR"]
    width, height, depth, colors, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    if (depth, colors, interlaced) != (8, 2, 0):
        raise ValueError(f"{file}: expected 8-bit RGB, not interlaced")
    rows = _unfiltered(zlib.decompress(chunks[b"IDAT"]), width * 3, height)
    pixels = b"".join(b"\0" + _indexed(row) for row in rows)
    out = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", _PALETTE),
        (b"IDAT", zlib.compress(pixels, 9)),
        (b"IEND", b""),
    ]
    file.write_bytes(_SIGNATURE + b"".join(_chunk(kind, data) for kind, data in out))


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks by type, those of one type joined."""
    found: dict[bytes, bytes] = {}
    at = len(_SIGNATURE)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        found[kind] = found.get(kind, b"") + data[at + 8 : at + 8 + size]
        at += size + 12
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _unfiltered(data: bytes, stride: int, height: int) -> list[bytes]:
    """Return the rows of pixels; each came as the difference to what a filter foretold (section 9)."""
    rows, above = [], bytes(stride)
    for number in range(height):
        at = number * (stride + 1)
        row = _unfilter(data[at], bytearray(data[at + 1 : at + 1 + stride]), above)
        rows.append(row)
        above = row
    return rows


def _unfilter(kind: int, row: bytearray, above: bytes) -> bytes:
    if kind == 2:
        return bytes((value + up) & 255 for value, up in zip(row, above, strict=True))
    if kind == 0:
        return bytes(row)
    for at, value in enumerate(row):
        left, up, corner = (row[at - 3], above[at], above[at - 3]) if at >= 3 else (0, above[at], 0)
        row[at] = (value + _foretold(kind, left, up, corner)) & 255
    return bytes(row)


def _foretold(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 3:
        return (left + up) >> 1
    guess = left + up - corner
    by_left, by_up, by_corner = abs(guess - left), abs(guess - up), abs(guess - corner)
    if by_left <= by_up and by_left <= by_corner:
        return left
    return up if by_up <= by_corner else corner


def _indexed(row: bytes) -> bytes:
    planes = (row[channel::3].translate(table) for channel, table in enumerate(_SHADES))
    return bytes(red + green + blue for red, green, blue in zip(*planes, strict=True))
