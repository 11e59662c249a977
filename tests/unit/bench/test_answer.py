import pytest

from bench.answer import Answer, AnswerError, AnswerReader

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\nb;name=value\r\n0\r\n\r\nworlds\r\n0\r\n\r\n"
)


def read(data: bytes, piece: int) -> Answer:
    """Feed `data` in pieces; return the answer, which must be complete with the last piece and not before."""
    reader = AnswerReader()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    assert [reader.feed(p) for p in pieces] == [False] * (len(pieces) - 1) + [True]
    return reader.answer()


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("data", "body", "gzip"),
    [(PLAIN, b"hello", False), (CHUNKED, b"hello0\r\n\r\nworlds", True)],
    ids=["length", "chunks that hold the bytes of a last chunk"],
)
def test_an_answer_is_complete_with_its_last_byte_however_it_is_cut(
    data: bytes, body: bytes, gzip: bool, piece: int
) -> None:
    answer = read(data, piece)
    assert answer.status == 200
    assert answer.body == body
    assert answer.gzip is gzip
    assert answer.wire_bytes == len(data)


def test_an_error_answer_keeps_its_status() -> None:
    assert read(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 9).status == 503


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "no HTTP/1.1 answer"),
        (b"SSH-2.0 hello\r\n\r\n", "no HTTP/1.1 answer"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", "neither its length"),
        (PLAIN + b"!", "the answer has"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "no size of a chunk"),
    ],
    ids=["old protocol", "other protocol", "no length", "more than the length", "bad chunk"],
)
def test_what_is_no_answer_is_refused_by_its_fault(data: bytes, words: str) -> None:
    with pytest.raises(AnswerError, match=words):
        AnswerReader().feed(data)


def test_a_reader_starts_anew_after_reset() -> None:
    reader = AnswerReader()
    assert reader.feed(CHUNKED)
    reader.reset()
    assert reader.feed(PLAIN)
    assert reader.answer().body == b"hello"
