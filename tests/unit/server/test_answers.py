"""What the exporter's HTTP server answers to good and to bad requests: raw bytes in, parsed answers out."""

import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from exporter.server.http import DateHeader
from exporter.server.listener import ListenError
from exporter.settings import Duration
from exporter.settings.exporter import Http
from tests.support.client import Reader, ask, connect, request, until
from tests.support.exporter import HANDLERS, InProcess, never, server_running

NEXT = request("/", "Connection: close")


@pytest.fixture
def server() -> Iterator[InProcess]:
    with server_running() as running:
        yield running


REQUESTS = {
    "get": (request("/"), 200, b"('GET', '/', '')"),
    "answered later": (request("/soon"), 200, b"soon\n"),
    "query": (request("/?a=b&c=%5B"), 200, b"('GET', '/', 'a=b&c=%5B')"),
    "absolute form": (request("http://else.where:80/?a=b"), 200, b"('GET', '/', 'a=b')"),
    "absolute form without path": (request("http://else.where:80"), 200, b"('GET', '/', '')"),
    "http 1.0": (request("/", version="HTTP/1.0"), 200, b"('GET', '/', '')"),
    "names and values of headers in any case": (request("/", "cOnNeCtIoN: ClOsE"), 200, b"('GET', '/', '')"),
    "empty lines before it": (b"\r\n\r\n" + request("/"), 200, b"('GET', '/', '')"),
    "body is dropped": (request("/", "Content-Length: 5") + b"abcde", 200, b"('GET', '/', '')"),
    "chunked body is dropped": (
        request("/", "Transfer-Encoding: chunked") + b"3;x=y\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n",
        200,
        b"('GET', '/', '')",
    ),
    "upgrade is ignored": (request("/", "Connection: Upgrade", "Upgrade: websocket"), 200, b"('GET', '/', '')"),
    "upgrade to http 2 is ignored": (
        request("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"),
        200,
        b"('GET', '/', '')",
    ),
    "expect without a body": (request("/", "Expect: 100-continue"), 200, b"('GET', '/', '')"),
    "unknown path": (request("/nope"), 404, b"404: nothing at /nope; there is / /soon /fail /never\n"),
    "percent-encoded path is another": (request("/%2e"), 404, b"404: nothing at /%2e; there is / /soon /fail /never\n"),
    "asterisk": (request("*", method="OPTIONS"), 404, b"404: nothing at *; there is / /soon /fail /never\n"),
    "post": (request("/", "Content-Length: 0", method="POST"), 405, b"405: only GET and HEAD\n"),
    "options": (request("/", method="OPTIONS"), 405, b"405: only GET and HEAD\n"),
    "delete": (request("/soon", method="DELETE"), 405, b"405: only GET and HEAD\n"),
    "connect": (request("a:1", method="CONNECT"), 400, b"400: this is no request target\n"),
    "unknown method": (request("/", method="BREW-IT"), 400, b"400: this is no HTTP request\n"),
    "http 2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, b"400: this is no HTTP request\n"),
    "tls hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, b"400: this is no HTTP request\n"),
    "binary": (bytes(range(256)), 400, b"400: this is no HTTP request\n"),
    "header without colon": (request("/", "what is this"), 400, b"400: this is no HTTP request\n"),
    "broken utf-8 in the path": (b"GET /\xff HTTP/1.1\r\n\r\n", 400, b"400: this is no HTTP request\n"),
    "two kinds of length": (
        request("/", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
        b"400: this is no HTTP request\n",
    ),
    "negative length": (request("/", "Content-Length: -1"), 400, b"400: this is no HTTP request\n"),
    "two lengths": (request("/", "Content-Length: 1", "Content-Length: 2"), 400, b"400: this is no HTTP request\n"),
    "chunk that is none": (
        request("/", "Transfer-Encoding: chunked") + b"zz\r\n",
        400,
        b"400: this is no HTTP request\n",
    ),
    "body over 64 KiB": (
        request("/", "Content-Length: 100000") + b"x" * 100000,
        413,
        b"413: no endpoint takes a body\n",
    ),
    "chunks over 64 KiB": (
        request("/", "Transfer-Encoding: chunked") + b"1000\r\n%s\r\n" % (b"x" * 4096) * 20,
        413,
        b"413: no endpoint takes a body\n",
    ),
    "frames of chunks without end": (
        request("/", "Transfer-Encoding: chunked") + b"1;%s\r\nx\r\n" % (b"e" * 4096) * 100,
        413,
        b"413: no endpoint takes a body\n",
    ),
    "expect with a body": (
        request("/", "Content-Length: 5", "Expect: 100-continue", method="POST"),
        417,
        b"417: no endpoint takes a body\n",
    ),
    "handler's fault": (request("/fail"), 500, b"500: our fault, see the log\n"),
}


@pytest.mark.parametrize(("data", "status", "body"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_has_its_answer_however_it_is_cut(
    server: InProcess, data: bytes, status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    whole = ask(server.port, data)
    assert (whole.status, whole.body) == (status, body)
    assert whole.headers["content-type"].startswith("text/plain")
    with connect(server.port) as sock:
        for cut in (data[:1], data[1 : len(data) // 2], data[len(data) // 2 :]):
            sock.sendall(cut)
        answer = Reader(sock).answer()
    assert (answer.status, answer.body) == (status, body)
    assert ask(server.port, NEXT).status == 200
    assert bool(caplog.records) == (status == 500)


def test_405_says_what_is_allowed(server: InProcess) -> None:
    assert ask(server.port, request("/", method="PUT")).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("target", ["/", "/soon", "/nope"])
def test_head_is_get_without_the_body(server: InProcess, target: str) -> None:
    with connect(server.port) as sock:
        sock.sendall(request(target, method="HEAD") + request(target))
        reader = Reader(sock)
        head, get = reader.answer(head_only=True), reader.answer()
    assert head.body == b""
    same = {"/": ("'HEAD'", "'GET'")}.get(target)
    assert head.status == get.status
    expected = len(get.body) + (1 if same else 0)  # the echoed method's name is one letter longer
    assert int(head.headers["content-length"]) == expected


def test_the_date_is_now_and_in_english(server: InProcess) -> None:
    before = int(time.time())
    date = ask(server.port, request("/")).headers["date"]
    assert before <= parsedate_to_datetime(date).timestamp() <= time.time()


def test_the_date_is_rendered_anew_each_second() -> None:
    header = DateHeader()
    assert header.at(784111777.9) == "Date: Sun, 06 Nov 1994 08:49:37 GMT"
    assert header.at(784111777.1) is header.at(784111777.99)
    assert header.at(784111778.0) == "Date: Sun, 06 Nov 1994 08:49:38 GMT"


KEPT = {
    "http 1.1": ((), "HTTP/1.1", True),
    "http 1.1 that says close": (("Connection: close",), "HTTP/1.1", False),
    "http 1.0": ((), "HTTP/1.0", False),
    "http 1.0 that says keep-alive": (("Connection: keep-alive",), "HTTP/1.0", True),
}


@pytest.mark.parametrize(("headers", "version", "kept"), KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("target", ["/", "/soon"])
def test_a_connection_is_kept_as_its_client_asks(
    server: InProcess, headers: tuple[str, ...], version: str, kept: bool, target: str
) -> None:
    with connect(server.port) as sock:
        reader = Reader(sock)
        for _ in range(3 if kept else 1):
            sock.sendall(request(target, *headers, version=version))
            answer = reader.answer()
            assert answer.status == 200
            assert answer.headers.get("connection") == (None if kept else "close")
        if not kept:
            assert reader.rest() == []


def test_pipelined_requests_are_answered_in_order(server: InProcess) -> None:
    targets = ["/soon", "/?1", "/nope", "/?2", "/soon", "/fail"]
    with connect(server.port) as sock:
        sock.sendall(b"".join(request(target) for target in targets) + NEXT)
        answers = Reader(sock).rest()
    assert [answer.status for answer in answers] == [200, 200, 404, 200, 200, 500]
    assert answers[1].body == b"('GET', '/', '1')"


def test_what_is_no_request_is_refused_behind_the_answers_to_those_before_it(server: InProcess) -> None:
    with connect(server.port) as sock:
        sock.sendall(request("/soon") + request("/") + b"\0\0\r\n\r\n")
        answers = Reader(sock).rest()
    assert [answer.status for answer in answers] == [200, 200, 400]


def test_too_many_pipelined_requests_are_told_so_behind_the_first_answers(server: InProcess) -> None:
    with connect(server.port) as sock:
        sock.sendall(request("/soon") * 100)
        answers = Reader(sock).rest()
    assert [answer.status for answer in answers] == [200] * 17 + [429]


def test_garbage_behind_the_last_request_does_not_cost_its_answer(server: InProcess) -> None:
    with connect(server.port) as sock:
        sock.sendall(request("/soon", "Connection: close") + b"\r\nabc")
        assert [answer.status for answer in Reader(sock).rest()] == [200]


@pytest.mark.parametrize("target", ["/", "/soon"])
def test_a_client_that_half_closes_gets_its_answers_and_the_end(server: InProcess, target: str) -> None:
    with connect(server.port) as sock:
        sock.sendall(request(target) * 3)
        sock.shutdown(socket.SHUT_WR)
        answers = Reader(sock).rest()
    assert [answer.status for answer in answers] == [200] * 3
    until(lambda: server.connections == 0, "the connection is gone")


@pytest.mark.parametrize("cut", [0, 1, 10, len(request("/")) - 1])
def test_a_client_that_leaves_within_a_request_costs_nothing(server: InProcess, cut: int) -> None:
    with connect(server.port) as sock:
        sock.sendall(request("/")[:cut])
    until(lambda: server.connections == 0, "the connection is gone")


def test_a_client_that_leaves_before_its_answer_costs_nothing() -> None:
    with server_running({"/never": never}) as server:
        sock = connect(server.port)
        sock.sendall(request("/never"))
        until(lambda: any(c.busy for c in server.server._connections), "the handler has it")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()  # a reset
        until(lambda: server.connections == 0, "the connection is gone")


MB = 1024 * 1024
LARGE = {
    "one header": request("/")[:-2] + b"X-Long: " + b"x" * MB + b"\r\n\r\n",
    "many headers": request("/")[:-2] + b"".join(b"X-%d: y\r\n" % n for n in range(MB // 10)) + b"\r\n",
    "the same header many times": request("/")[:-2] + b"X: y\r\n" * (MB // 6) + b"\r\n",
    "the name of a header": request("/")[:-2] + b"x" * MB + b": y\r\n\r\n",
    "the target": b"GET /" + b"x" * MB + b" HTTP/1.1\r\n\r\n",
    "a trailer": request("/", "Transfer-Encoding: chunked")
    + b"0\r\n"
    + b"".join(b"T-%d: y\r\n" % n for n in range(MB // 10)),
    "a header after good requests": request("/") * 3 + request("/")[:-2] + b"X: " + b"x" * MB,
    "folded": request("/")[:-2] + b"X: y\r\n" + b" z\r\n" * (MB // 4),
}
HOW = {"in one go": MB * 2, "in pieces": 32 * 1024, "in drips": 1000}


@pytest.mark.parametrize("piece", HOW.values(), ids=HOW)
@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_a_megabyte_of_headers_gets_an_answer_that_can_be_read(server: InProcess, data: bytes, piece: int) -> None:
    """Sends all of it before it reads, as most clients do: a reset would show as an error of `sendall` or `recv`."""
    with connect(server.port) as sock:
        for start in range(0, len(data), piece):
            sock.sendall(data[start : start + piece])
        answers = Reader(sock).rest()
    assert answers[-1].status in ({400} if b" z\r\n" in data else {431, 413} if b"T-1" in data else {431})
    assert answers[-1].headers["connection"] == "close"
    assert ask(server.port, NEXT).status == 200


def test_headers_within_the_limit_pass(server: InProcess) -> None:
    assert ask(server.port, request("/", "X: " + "x" * 15_000)).status == 200
    assert ask(server.port, request("/", "X: " + "x" * 17_000)).status == 431
    assert ask(server.port, request("/?" + "x" * 15_000)).status == 200


QUICK = Http(request_timeout=Duration(0.3), idle_timeout=Duration(0.3))
SLOW = {
    "a head without end": b"GET / HTTP/1.1\r\n",
    "a body that does not come": request("/", "Content-Length: 5"),
    "a chunk that does not come": request("/", "Transfer-Encoding: chunked") + b"5\r\nab",
    "a head without end, behind a good request": request("/") + b"GET ",
    "a body that does not come, behind a later answer": request("/soon") + request("/", "Content-Length: 5"),
}


@pytest.mark.parametrize("data", SLOW.values(), ids=SLOW)
def test_a_request_that_does_not_end_in_time_is_told_so(data: bytes) -> None:
    with server_running(limits=Http(request_timeout=Duration(0.3))) as server, connect(server.port) as sock:
        sock.sendall(data)
        assert Reader(sock).rest()[-1].status == 408
    assert server.connections == 0


def test_a_byte_now_and_then_does_not_extend_the_time() -> None:
    with server_running(limits=QUICK) as server, connect(server.port, timeout=0.02) as sock:
        start, answer = time.monotonic(), b""
        sock.sendall(request("/")[:-2] + b"X: ")
        while not answer:
            assert time.monotonic() - start < 5
            sock.sendall(b"y")
            try:
                answer = sock.recv(1000)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - start >= 0.29


def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    with server_running(limits=QUICK) as server, connect(server.port) as sock:
        assert sock.recv(100) == b""


def test_an_idle_connection_is_closed_after_the_idle_time_out() -> None:
    with server_running(limits=QUICK) as server, connect(server.port) as sock:
        sock.sendall(request("/"))
        assert [answer.status for answer in Reader(sock).rest()] == [200]


def test_a_slow_handler_is_waited_for_longer_than_a_slow_client() -> None:
    replies = []
    handlers = {"/": lambda _, reply: replies.append(reply)}
    with server_running(handlers, QUICK) as server, connect(server.port) as sock:
        sock.sendall(request("/"))
        until(lambda: replies, "the handler has it")
        start = time.monotonic()
        until(lambda: time.monotonic() - start > 0.7, "longer than both time-outs")
        from exporter.server.http import Response

        server.call(lambda: replies[0](Response(200, b"at last\n")))
        assert Reader(sock).answer().body == b"at last\n"


def test_a_client_that_never_reads_is_dropped() -> None:
    from exporter.server.http import Response

    big = Response(200, b"x" * 4 * MB)
    with server_running({"/": lambda _, reply: reply(big)}, QUICK) as server:
        with connect(server.port, receive_buffer=4096) as sock:
            sock.sendall(request("/") * 10)
            until(lambda: server.connections == 0, "it is dropped")
        with connect(server.port, receive_buffer=4096) as sock:  # and the one that asked for the end
            sock.sendall(request("/", "Connection: close"))
            until(lambda: server.connections == 1, "it is there")
            until(lambda: server.connections == 0, "it is dropped")


def test_the_connection_that_was_quiet_longest_makes_room() -> None:
    with server_running(HANDLERS, Http(max_connections=3)) as server:
        socks = [connect(server.port) for _ in range(3)]
        for sock in (socks[1], socks[2], socks[0]):  # the one opened first spoke last
            sock.sendall(request("/"))
            assert Reader(sock).answer().status == 200
        assert ask(server.port, NEXT).status == 200
        assert socks[1].recv(1) == b""
        for sock in (socks[0], socks[2]):
            sock.sendall(request("/"))
            assert Reader(sock).answer().status == 200
        for sock in socks:
            sock.close()


def test_no_number_of_connections_exceeds_the_limit_even_if_nobody_reads() -> None:
    from exporter.server.http import Response

    big = Response(200, b"x" * MB * 4)
    handlers = {"/": lambda _, reply: reply(big), "/never": never}
    with server_running(handlers, Http(max_connections=5)) as server:
        socks = []
        for n in range(40):
            socks.append(connect(server.port, receive_buffer=4096))
            socks[-1].sendall(request("/never" if n % 2 and n < 8 else "/"))
        until(lambda: server.connections == 5, "five are left")
        until(lambda: len(server.server.loop._selector.get_map()) <= 5 + 3, "no more files than those, listener, pipe")
        for sock in socks:
            sock.close()


def test_when_all_are_busy_the_new_one_is_turned_away() -> None:
    with server_running({"/never": never}, Http(max_connections=2)) as server:
        socks = [connect(server.port) for _ in range(2)]
        for sock in socks:
            sock.sendall(request("/never"))
        until(lambda: sum(c.busy for c in server.server._connections) == 2, "both are busy")
        with connect(server.port) as sock:
            assert sock.recv(1) == b""
        assert server.connections == 2
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("host", ["a..b", "no.such.host.invalid", "x" * 70, "256.1.1.1", "\0"])
def test_an_address_that_cannot_be_is_an_error_of_ours(server: InProcess, host: str) -> None:
    import asyncio

    future = asyncio.run_coroutine_threadsafe(server.server.listen(host, 0), server.server.loop)
    with pytest.raises(ListenError, match=r"cannot listen on .*--listen"):
        future.result(20)
