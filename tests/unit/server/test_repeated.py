"""The same bytes again on one connection: answered without parsing, and only where that means the same request."""

from collections.abc import Iterator

import pytest

from exporter.server.http import Reply, Request, Response
from exporter.settings import Duration
from exporter.settings.exporter import Http
from tests.support.client import Reader, connect, request, until
from tests.support.exporter import InProcess, server_running, soon

SAME = request("/?a=b", "Accept-Encoding: gzip")
OTHER = request("/other")
GARBAGE = b"what is this\r\n\r\n"


class Recorder:
    """Answers with how many requests came; one that was not parsed anew is the same object."""

    def __init__(self) -> None:
        self.seen: list[Request] = []

    def __call__(self, request: Request, reply: Reply) -> None:
        self.seen.append(request)
        reply(Response(200, b"%d" % len(self.seen)))

    @property
    def parsed(self) -> int:
        """How many requests were made by parsing."""
        return len({id(request) for request in self.seen})


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def server(recorder: Recorder) -> Iterator[InProcess]:
    with server_running({"/": recorder, "/other": recorder, "/soon": soon(b"soon\n")}) as running:
        yield running


def test_the_same_bytes_are_parsed_once(server: InProcess, recorder: Recorder) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        for count in range(1, 5):
            sock.sendall(SAME)
            answer = reader.answer()
            assert (answer.status, answer.body) == (200, b"%d" % count)
    assert recorder.parsed == 1
    assert (recorder.seen[0].path, recorder.seen[0].query) == ("/", "a=b")
    assert recorder.seen[0].headers == {b"accept-encoding": b"gzip"}


def test_other_bytes_in_between_are_another_request(server: InProcess, recorder: Recorder) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        for data in (SAME, OTHER, SAME, SAME, OTHER):
            sock.sendall(data)
            assert reader.answer().status == 200
    assert [request.path for request in recorder.seen] == ["/", "/other", "/", "/", "/other"]
    assert recorder.seen[2] is recorder.seen[3]


def test_another_connection_starts_anew(server: InProcess, recorder: Recorder) -> None:
    for _ in range(2):
        with connect(server.port) as sock:
            sock.sendall(SAME)
            assert Reader(sock).answer().status == 200
    assert recorder.parsed == 2


def test_the_same_bytes_pipelined_are_each_answered(server: InProcess, recorder: Recorder) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        bodies = []
        for data, count in ((SAME, 1), (SAME * 3, 3), (SAME * 3, 3), (SAME, 1)):
            sock.sendall(data)
            bodies += [reader.answer().body for _ in range(count)]
    assert bodies == [b"%d" % number for number in range(1, 9)]
    assert {request.path for request in recorder.seen} == {"/"}


def test_the_same_bytes_while_an_answer_is_made_wait_their_turn(server: InProcess, recorder: Recorder) -> None:
    late = request("/soon")
    with connect(server.port) as sock:
        reader = Reader(sock)
        for data in (late, late + SAME, SAME + late):
            sock.sendall(data)
        assert [reader.answer().body for _ in range(5)] == [b"soon\n", b"soon\n", b"1", b"2", b"soon\n"]


@pytest.mark.parametrize("cut", [1, 10, len(SAME) - 1])
def test_the_same_bytes_behind_a_part_of_a_request_belong_to_it(
    server: InProcess, recorder: Recorder, cut: int
) -> None:
    """What was begun is a request whose last header goes on with the bytes, not the known request once more."""
    begun = b"GET /other HTTP/1.1\r\nHost: x\r\nX-Begun: "
    with connect(server.port) as sock:
        reader = Reader(sock)
        sock.sendall(SAME)
        assert reader.answer().status == 200
        sock.sendall(begun)
        _let_it_arrive(server)
        sock.sendall(SAME)
        assert reader.answer().status == 200
        sock.sendall(SAME[:cut])
        _let_it_arrive(server)
        sock.sendall(SAME[cut:])
        assert reader.answer().status == 200
        sock.sendall(SAME)
        assert reader.answer().status == 200
    assert [request.path for request in recorder.seen] == ["/", "/other", "/", "/"]


def _let_it_arrive(server: InProcess) -> None:
    """Wait until the server is within a request."""
    until(lambda: any(connection._receiving for connection in server.server._connections), "it is within a request")


def test_the_same_bytes_behind_an_error_are_not_answered(server: InProcess, recorder: Recorder) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        sock.sendall(SAME)
        assert reader.answer().status == 200
        sock.sendall(GARBAGE)
        assert reader.answer().status == 400
        sock.sendall(SAME)
        assert reader.rest() == []
    assert len(recorder.seen) == 1


def test_an_answer_that_is_an_error_of_the_handlers_may_be_asked_for_again(server: InProcess) -> None:
    missing = request("/nope")
    with connect(server.port) as sock:
        reader = Reader(sock)
        for _ in range(3):
            sock.sendall(missing)
            assert reader.answer().status == 404


WITH_BODY = request("/", "Content-Length: 4") + b"abcd"
CHUNKED = request("/", "Transfer-Encoding: chunked") + b"4\r\nabcd\r\n0\r\n\r\n"


@pytest.mark.parametrize("data", [WITH_BODY, CHUNKED], ids=["length", "chunked"])
def test_the_same_bytes_with_a_body_are_parsed_each_time(server: InProcess, recorder: Recorder, data: bytes) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        for _ in range(3):
            sock.sendall(data)
            assert reader.answer().status == 200
    assert recorder.parsed == 3


def test_the_same_bytes_as_a_body_are_no_request(server: InProcess, recorder: Recorder) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        sock.sendall(SAME)
        assert reader.answer().status == 200
        sock.sendall(request("/other", f"Content-Length: {len(SAME)}"))
        _let_it_arrive(server)
        sock.sendall(SAME)
        assert reader.answer().status == 200
        sock.sendall(SAME)
        assert reader.answer().body == b"3"
    assert [request.path for request in recorder.seen] == ["/", "/other", "/"]


@pytest.mark.parametrize(
    "data",
    [request("/", version="HTTP/1.0"), request("/", "Connection: close")],
    ids=["http 1.0", "connection: close"],
)
def test_what_ends_the_connection_ends_it_behind_the_same_bytes_too(
    server: InProcess, recorder: Recorder, data: bytes
) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        for _ in range(2):
            sock.sendall(SAME)
            assert reader.answer().status == 200
        sock.sendall(data)
        assert reader.answer().headers["connection"] == "close"
        assert reader.rest() == []


def test_http_1_0_that_stays_open_is_known_again(server: InProcess, recorder: Recorder) -> None:
    data = request("/", "Connection: keep-alive", version="HTTP/1.0")
    with connect(server.port) as sock:
        reader = Reader(sock)
        for count in (1, 2, 3):
            sock.sendall(data)
            assert reader.answer().body == b"%d" % count
    assert recorder.parsed == 1


def test_head_stays_without_a_body(server: InProcess, recorder: Recorder) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        for data, head_only in ((request("/", method="HEAD"), True), (SAME, False)) * 2:
            sock.sendall(data)
            assert reader.answer(head_only=head_only).status == 200
        for _ in range(2):
            sock.sendall(request("/", method="HEAD"))
            assert reader.answer(head_only=True).status == 200
    assert len(recorder.seen) == 6


def test_long_requests_are_not_kept(server: InProcess, recorder: Recorder) -> None:
    data = request("/", "X-Long: " + "x" * 2048)
    with connect(server.port) as sock:
        reader = Reader(sock)
        for _ in range(2):
            sock.sendall(data)
            assert reader.answer().status == 200
    assert recorder.parsed == 2


def test_an_idle_connection_that_repeats_itself_lives_on() -> None:
    recorder = Recorder()
    limits = Http(request_timeout=Duration(0.3), idle_timeout=Duration(30))
    with server_running({"/": recorder}, limits) as running, connect(running.port) as sock:
        reader = Reader(sock)
        for _ in range(2):
            sock.sendall(SAME)
            assert reader.answer().status == 200
        # longer than a request may take: the time that counts now is that of an idle connection
        connection = next(iter(running.server._connections))
        fired = connection._timer
        assert fired is not None
        until(lambda: connection._timer is not fired, "the first request's timer fired")
        sock.sendall(SAME)
        assert reader.answer().body == b"3"
