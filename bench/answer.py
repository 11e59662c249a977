"""Reading one HTTP answer out of a stream of bytes, at the least cost: only what a benchmark must know."""

import re
from typing import Final, NamedTuple

from bench.failures import BenchError

MAX_BYTES: Final = 64 * 1024 * 1024
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_GZIP: Final = re.compile(rb"\r\ncontent-encoding: *gzip", re.IGNORECASE)


class AnswerError(BenchError):
    """What came is no complete HTTP/1.1 answer."""


class Answer(NamedTuple):
    """One complete answer."""

    status: int
    body: bytes
    """As it came over the wire, without the framing of chunks."""
    gzip: bool
    wire_bytes: int
    """The whole answer: head, body and the framing of chunks."""


class AnswerReader:
    """Takes bytes as they come and knows when an answer is complete. Reusable after `reset`."""

    __slots__ = ("_chunked", "_data", "_end", "_start", "status")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Get ready for the next answer."""
        self._data = b""
        self._start = 0
        # the total length once it is known; with chunks the place of the next chunk's size line
        self._end = 0
        self._chunked = False
        self.status = 0

    @property
    def wire_bytes(self) -> int:
        """The number of bytes taken so far."""
        return len(self._data)

    def feed(self, data: bytes) -> bool:
        """Take `data`; return whether the answer is complete now.

        Raises AnswerError when it is no HTTP/1.1 answer, has no length, or is followed by more.
        """
        self._data = data = self._data + data if self._data else data
        if not self._start and not self._read_head():
            return False
        if self._chunked and not self._skip_chunks():
            return False
        if len(data) > self._end or len(data) > MAX_BYTES:
            raise AnswerError(f"{len(data)} bytes came, the answer has {self._end}")
        return len(data) == self._end

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._data[: end + 2]
        if not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit():
            raise AnswerError(f"no HTTP/1.1 answer: {head[:40]!r}")
        self.status = int(head[9:12])
        self._start = end + 4
        self._end = self._start
        if length := _LENGTH.search(head):
            self._end += int(length[1])
        elif _CHUNKED.search(head):
            self._chunked = True
        else:
            raise AnswerError("the answer says neither its length nor that it comes in chunks")
        return True

    def _skip_chunks(self) -> bool:
        """Move `_end` over the chunks that are complete; return whether the last one is among them."""
        data = self._data
        while (line_end := data.find(b"\r\n", self._end)) >= 0:
            size = _chunk_size(data[self._end : line_end])
            after = line_end + 2 + size + 2
            if len(data) < after:
                return False
            self._end = after
            if size == 0:
                return True
        return False

    def answer(self) -> Answer:
        """Return the answer; call it when `feed` said that it is complete."""
        data = self._data
        body = _join_chunks(data, self._start) if self._chunked else data[self._start :]
        return Answer(self.status, body, _GZIP.search(data, 0, self._start) is not None, len(data))


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError as err:
        raise AnswerError(f"no size of a chunk: {line[:40]!r}") from err


def _join_chunks(data: bytes, at: int) -> bytes:
    parts: list[bytes] = []
    while True:
        line_end = data.index(b"\r\n", at)
        size = _chunk_size(data[at:line_end])
        if size == 0:
            return b"".join(parts)
        parts.append(data[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2
