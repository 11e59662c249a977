"""What may come from the other end of a call to Slack: redirects, other answers than Slack's, cut ones, slow ones."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exporter.logs import Secret
from exporter.relay.slack import ErrorKind, Slack, SlackError
from exporter.relay.slack_wire import MAX_ANSWER
from tests.support.certificates import Authority
from tests.support.fake_slack import TOKEN, FakeSlack, Fault
from tests.support.web_server import tls_of

SECRET = Secret(TOKEN)
MESSAGE = {"text": "hello", "attachments": []}
GOOD = b'{"ok": true, "channel": "C1", "ts": "1.1"}'


class Wire:
    """A server that answers every call with these bytes, the later ones one at a time."""

    def __init__(self, first: bytes, then: bytes, pause: float, tls: ssl.SSLContext | None) -> None:
        self.first, self.then, self.pause = first, then, pause
        self.requests: list[bytes] = []
        self.ended = threading.Event()
        self._socket, self._tls = socket.create_server(("127.0.0.1", 0)), tls
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._socket.getsockname()[1]}/api/"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._serve(connection)

    def _serve(self, plain: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as connection:
                self._answer(connection)
        except OSError:  # the client has gone
            return

    def _answer(self, connection: socket.socket) -> None:
        self.requests.append(_request(connection))
        connection.sendall(self.first)
        for at in range(len(self.then)):
            if self.ended.wait(self.pause):
                return
            connection.sendall(self.then[at : at + 1])

    def close(self) -> None:
        self.ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


def _request(connection: socket.socket) -> bytes:
    """Read a request to its end: what is left unread at the close would reset the connection."""
    with connection.makefile("rb") as file:
        head = b"".join(iter(file.readline, b"\r\n"))
        length = next((line for line in head.lower().splitlines() if line.startswith(b"content-length:")), b":0")
        return head + file.read(int(length.partition(b":")[2]))


@contextmanager
def wire(first: bytes, then: bytes = b"", pause: float = 0.2, tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
    one = Wire(first, then, pause, tls)
    try:
        yield one
    finally:
        one.close()


def answer(body: bytes, *, status: str = "200 OK", headers: str = "", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{headers}Content-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def error_of(url: str, timeout: float = 5) -> SlackError:
    with pytest.raises(SlackError) as caught:
        Slack(url, timeout).post(SECRET, "#alerts", MESSAGE)
    assert TOKEN not in repr((caught.value, vars(caught.value), caught.value.__context__, caught.value.__cause__))
    return caught.value


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_told(status: int) -> None:
    with FakeSlack() as elsewhere:
        location = f"Location: {elsewhere.url}chat.postMessage\r\n"
        with wire(answer(b"", status=f"{status} Moved", headers=location)) as one:
            err = error_of(one.url)
        assert elsewhere.calls == []
    assert (err.kind, err.code, err.ambiguous) == (ErrorKind.TRANSIENT, "redirect_not_followed", False)


OTHERS = {
    "list": answer(b'["ok"]'),
    "text": answer(b'"ok"'),
    "number": answer(b"7"),
    "null": answer(b"null"),
    "nothing": answer(b""),
    "cut JSON": answer(b'{"ok": true, "channel": "C1", "t'),
    "cut body": answer(b'{"ok": true, "channel": "C1", "t').replace(b"Length: 32", b"Length: 42"),
    "deep": answer(b"[" * 100_000),
    "no ts": answer(b'{"ok": true, "channel": "C1"}'),
    "ts of another kind": answer(b'{"ok": true, "channel": "C1", "ts": 7}'),
    "page": answer(b"<html>", kind="text/html"),
    "201": answer(b"{}", status="201 Created"),
    "not UTF-8": answer(b"\xff\xfe"),
    "compressed": answer(b"\x1f\x8b", kind="application/gzip"),
    "no HTTP": b"hello\r\n\r\n",
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_an_answer_that_is_none_of_slacks_may_follow_a_message_that_was_taken(data: bytes) -> None:
    with wire(data) as one:
        err = error_of(one.url)
    assert (err.kind, err.ambiguous) == (ErrorKind.TRANSIENT, True)


def test_an_unknown_charset_is_no_fault_as_json_is_utf_8() -> None:
    with wire(answer(GOOD, kind="application/json; charset=klingon")) as one:
        assert Slack(one.url, 5).post(SECRET, "#alerts", MESSAGE).ts == "1.1"


DRIPS = {
    "head": (b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1000),
    "body": (answer(b"x" * 1000)[:-1000], b"x" * 1000),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100),
}


@pytest.mark.parametrize(("first", "then"), DRIPS.values(), ids=DRIPS)
def test_an_answer_that_drips_ends_with_the_time_of_the_call(first: bytes, then: bytes) -> None:
    with wire(first, then) as one:
        began = time.monotonic()
        err = error_of(one.url, 1)
        assert time.monotonic() - began < 3
    assert (err.code, err.ambiguous) == ("timeout", True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.needs("openssl")
def test_an_answer_over_tls_is_cut_in_time_too_and_a_whole_one_is_read(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = authority.issue("slack")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    tls = tls_of(pair.certificate, pair.key)
    with wire(answer(GOOD), tls=tls) as one:
        assert Slack(one.url, 5).post(SECRET, "#alerts", MESSAGE).ts == "1.1"
    with wire(answer(GOOD)[:-30], b"x" * 100, tls=tls) as one:
        began = time.monotonic()
        err = error_of(one.url, 1)
        assert time.monotonic() - began < 3
    assert (err.code, err.ambiguous) == ("timeout", True)


@pytest.mark.needs("openssl")
def test_a_certificate_that_nobody_trusts_gets_no_token(authority: Authority) -> None:
    pair = authority.issue("slack")
    with wire(answer(GOOD), tls=tls_of(pair.certificate, pair.key)) as one:
        err = error_of(one.url)
        assert one.requests == []
    assert (err.code, err.ambiguous) == ("certificate_not_trusted", False)


def test_a_proxy_that_drips_ends_with_the_time_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with wire(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1000) as one:
        monkeypatch.setenv("HTTPS_PROXY", one.url)
        began = time.monotonic()
        err = error_of("https://slack.invalid/api/", 1)
        assert time.monotonic() - began < 3
        assert TOKEN.encode() not in one.requests[0]
    assert err.code == "timeout"


def test_an_answer_without_an_end_is_read_up_to_a_bound() -> None:
    many = GOOD + b" " * (MAX_ANSWER + 1000)
    with wire(answer(many)) as one:
        err = error_of(one.url)
    assert (err.code, err.ambiguous) == ("answer_too_long", True)


def test_a_slow_call_does_not_cut_the_next() -> None:
    with FakeSlack() as slack:
        slack.fail_next(Fault(hang=5))
        api = Slack(slack.url, 1)
        with pytest.raises(SlackError, match="timeout"):
            api.post(SECRET, "#alerts", MESSAGE)
        slack.released.set()
        assert api.post(SECRET, "#alerts", MESSAGE).channel


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with wire(answer(GOOD)) as one:
        monkeypatch.setenv(name, one.url)
        assert Slack("http://slack.invalid/api/", 5).post(SECRET, "#alerts", MESSAGE).ts == "1.1"
        assert one.requests[0].startswith(b"POST http://slack.invalid/api/chat.postMessage ")
