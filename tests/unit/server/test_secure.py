"""TLS connections and the HTTP server, in this process: its loop must see no exception that nobody handles."""

import random
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import bcrypt
import pytest

from exporter.server.listener import Server
from exporter.server.locks import Locks
from exporter.settings.exporter import Http
from tests.support import exporter
from tests.support.certificates import Authority, Pair
from tests.support.client import Reader, connect, request, until
from tests.support.exporter import HANDLERS, InProcess, soon

pytestmark = pytest.mark.needs("openssl")

TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"
BODY = random.Random(1).randbytes(3_000_000)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("server")


Start = Callable[..., InProcess]


@pytest.fixture
def start(tmp_path: Path, pair: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return what starts a server behind the locks of a web configuration."""
    with ExitStack() as stack:

        def started(text: str = TLS + "}", limits: Http | None = None) -> InProcess:
            pair.copy_to(tmp_path)
            shutil.copy(authority.certificate, tmp_path / "ca.crt")
            (tmp_path / "web.yml").write_text(text)
            locks = Locks(tmp_path / "web.yml")
            monkeypatch.setattr(exporter, "Server", lambda handler, limits: Server(handler, limits, locks))
            return stack.enter_context(exporter.server_running({**HANDLERS, "/large": soon(BODY)}, limits))

        yield started


@contextmanager
def secure(port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with connect(port) as bare, context.wrap_socket(bare, server_hostname="localhost") as sock:
        yield sock


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_an_answer_of_many_records_arrives_whole(start: Start, authority: Authority, version: ssl.TLSVersion) -> None:
    with secure(start().port, authority.client(version=version)) as sock:
        reader = Reader(sock)
        for _ in range(3):
            sock.sendall(request("/large"))
            assert reader.answer().body == BODY


def test_requests_in_pieces_and_many_in_one_are_answered_in_order(start: Start, authority: Authority) -> None:
    with secure(start().port, authority.client()) as sock:
        reader = Reader(sock)
        for byte in request("/", "X: y"):
            sock.send(bytes([byte]))
        assert reader.answer().status == 200
        targets = [f"/{'soon' if n % 3 else ''}?n={n}" for n in range(12)]
        sock.sendall(b"".join(map(request, targets)))
        bodies = [reader.answer().body for _ in targets]
        assert [f"n={n}".encode() in body for n, body in enumerate(bodies) if n % 3 == 0] == [True] * 4


def test_a_client_that_reads_late_gets_all(start: Start, authority: Authority) -> None:
    """Far more is asked for than buffers hold: the server stops reading, and goes on when the client does."""
    server = start()
    with (
        connect(server.port, receive_buffer=4096) as bare,
        authority.client().wrap_socket(bare, server_hostname="localhost") as sock,
    ):
        for _ in range(4):
            sock.sendall(request("/large"))
        until(lambda: any(c._paused for c in tuple(server.server._connections)), "the server waits")
        reader = Reader(sock)
        assert [reader.answer().body == BODY for _ in range(4)] == [True] * 4


def test_a_client_that_never_reads_is_dropped(start: Start, authority: Authority) -> None:
    server = start(limits=Http(request_timeout=0.3))  # type: ignore[arg-type]
    with (
        connect(server.port, receive_buffer=4096) as bare,
        authority.client().wrap_socket(bare, server_hostname="localhost") as sock,
    ):
        sock.sendall(request("/large"))
        until(lambda: server.connections == 1, "it is there")
        until(lambda: server.connections == 0, "it is dropped")


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_an_end_of_tls_is_answered_with_one(start: Start, authority: Authority, version: ssl.TLSVersion) -> None:
    server = start()
    with secure(server.port, authority.client(version=version)) as sock:
        sock.sendall(request("/"))
        assert Reader(sock).answer().status == 200
        with sock.unwrap() as bare:
            assert bare.recv(1) == b""
    until(lambda: server.connections == 0, "it is gone")


def test_a_refusal_reaches_a_client_that_still_sends(start: Start, authority: Authority) -> None:
    server = start()
    with secure(server.port, authority.client()) as sock:
        sock.sendall(request("/", *(f"X-{n}: {'y' * 90}" for n in range(9000))))
        reader = Reader(sock)
        assert reader.answer().status == 431
        with pytest.raises(EOFError):
            reader.answer()


def test_a_request_that_does_not_end_is_told_so(start: Start, authority: Authority) -> None:
    with secure(start(limits=Http(request_timeout=0.2)).port, authority.client()) as sock:  # type: ignore[arg-type]
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert [answer.status for answer in Reader(sock).rest()] == [408]


def test_plain_http_is_told_of_tls(start: Start) -> None:
    with connect(start().port) as sock:
        sock.sendall(request("/"))
        assert [answer.status for answer in Reader(sock).rest()] == [400]


@pytest.mark.parametrize("seed", range(8))
def test_bytes_that_are_changed_on_the_way_end_the_connection(start: Start, authority: Authority, seed: int) -> None:
    """A handshake, then a record with one bit turned, or cut short: no answer, and nothing left behind."""
    server = start()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with connect(server.port) as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        sock.sendall(outgoing.read())
        tls.write(request("/"))
        record = bytearray(outgoing.read())
        generator = random.Random(seed)
        if seed % 4:
            record[generator.randrange(5, len(record))] ^= 1 << generator.randrange(8)
            sock.sendall(record)
        else:
            sock.sendall(record[: generator.randrange(1, len(record))])
            sock.shutdown(socket.SHUT_WR)
        received = b""
        while data := _received(sock):
            received += data
        assert len(received) < 100, "an alert at most"
    until(lambda: server.connections == 0, "it is gone")


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


@pytest.mark.parametrize("cut", [0, 1, 5, 100])
def test_who_leaves_in_the_handshake_is_forgotten(start: Start, authority: Authority, cut: int) -> None:
    server = start()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    with connect(server.port) as sock:
        sock.sendall(outgoing.read()[:cut])
        handshakes = server.server._handshakes
        assert handshakes is not None
        until(lambda: len(handshakes._under_way) == 1, "it is there")
    until(lambda: not handshakes._under_way, "it is gone")


def test_a_name_that_is_not_allowed_ends_the_connection(start: Start, authority: Authority) -> None:
    server = start(
        f"{TLS}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [good]}}"
    )
    with secure(server.port, authority.client(authority.issue("good", ["DNS:good"]))) as sock:
        sock.sendall(request("/"))
        assert Reader(sock).answer().status == 200
    bad = authority.client(authority.issue("bad", ["DNS:bad"]))
    with suppress(OSError), secure(server.port, bad) as sock:
        sock.sendall(request("/"))
        assert not _received(sock)
    until(lambda: server.connections == 0, "both are gone")


def test_a_password_within_tls_and_headers_on_every_answer(start: Start, authority: Authority) -> None:
    stored = bcrypt.hashpw(b"b", bcrypt.gensalt(4)).decode()
    server = start(
        f"{TLS}}}\nbasic_auth_users: {{a: {stored}}}\nrate_limit: {{interval: 1h, burst: 3}}\n"
        "http_server_config: {headers: {X-Frame-Options: deny}}\n"
    )
    with secure(server.port, authority.client()) as sock:
        reader, found = Reader(sock), []
        for header in ("X: y", "Authorization: Basic YTpj", "Authorization: Basic YTpi", "Authorization: Basic YTpi"):
            sock.sendall(request("/", header))
            answer = reader.answer()
            assert answer.headers["x-frame-options"] == "deny"
            found.append(answer.status)
    assert found == [401, 401, 200, 429]


def test_a_server_that_stops_drops_handshakes(start: Start) -> None:
    server = start()
    with connect(server.port) as sock:
        handshakes = server.server._handshakes
        assert handshakes is not None
        until(lambda: len(handshakes._under_way) == 1, "it is there")
        server.call(server.server._handshakes.stop)
        assert _received(sock) == b""
