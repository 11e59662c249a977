"""The server's limits and its end, on real sockets."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exporter.relay.server import ListenError, listen
from tests.support.relay import RelayProcess, payload, until

pytestmark = pytest.mark.slow  # half of them start a relay, the others wait for its limits


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Any:
    http = {"header_timeout": 0.5, "idle_timeout": 1.0, "header_bytes": 4096, "max_connections": 20}
    with RelayProcess(tmp_path_factory.mktemp("relay"), http=http) as one:
        yield one


def connect(relay: RelayProcess) -> Any:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=10)


def rest(connection: Any) -> Any:
    """Return all that comes until the server ends the connection."""
    out = b""
    try:
        while data := connection.recv(65536):
            out += data
    except ConnectionResetError:
        pass
    connection.close()
    return out


HEAD = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n"


def test_large_headers_are_refused_with_431(relay: RelayProcess) -> None:
    connection = connect(relay)
    connection.sendall(HEAD + b"X: " + b"a" * 6000 + b"\r\n\r\n")
    assert rest(connection).startswith(b"HTTP/1.1 431 ")


def test_headers_that_never_end_are_cut_off(relay: RelayProcess) -> None:
    connection = connect(relay)
    connection.sendall(HEAD)
    with pytest.raises(OSError):  # noqa: PT012 -- whichever of the sends meets the closed connection
        for _ in range(1000):
            connection.sendall(b"X-Y: " + b"a" * 1000 + b"\r\n")
            time.sleep(0.001)
    connection.close()


def test_many_small_headers_count_together(relay: RelayProcess) -> None:
    connection = connect(relay)
    connection.sendall(HEAD + b"".join(b"X%d: a\r\n" % n for n in range(600)) + b"\r\n")
    assert rest(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("drip", [b"", b"a", b"\r\n", b"X: y\r\n"])
def test_a_client_that_takes_its_time_with_headers_is_ended(relay: RelayProcess, drip: Any) -> None:
    connection = connect(relay)
    connection.settimeout(0.1)
    if drip.strip():
        connection.sendall(HEAD + b"A: ")
    began = time.monotonic()
    while time.monotonic() - began < 5:
        try:
            if drip:
                connection.sendall(drip)
            if connection.recv(10) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    connection.close()
    assert 0.3 < time.monotonic() - began < 4


def test_a_large_body_in_one_piece_is_no_header(relay: RelayProcess) -> None:
    answer = relay.post(payload(x="y" * 50_000))
    assert answer.status == 200


def test_a_quiet_connection_is_ended_after_its_time(relay: RelayProcess) -> None:
    connection = connect(relay)
    connection.sendall(HEAD + b"\r\n")
    began = time.monotonic()
    assert b"healthy" in rest(connection)
    assert time.monotonic() - began < 5


def test_a_connection_serves_several_requests(relay: RelayProcess) -> None:
    connection = relay.connect()
    for _ in range(3):
        connection.request("GET", "/-/healthy")
        assert connection.getresponse().read() == b"healthy\n"
    connection.close()


def test_requests_sent_at_once_are_answered_in_order(relay: RelayProcess) -> None:
    connection = connect(relay)
    connection.sendall((HEAD + b"\r\n") * 3 + HEAD + b"Connection: close\r\n\r\n")
    assert rest(connection).count(b"healthy\n") == 4


def test_idle_connections_make_room_for_new_ones(relay: RelayProcess) -> None:
    idle = [connect(relay) for _ in range(60)]
    assert relay.get("/-/healthy").status == 200
    for connection in idle:
        connection.close()


def test_what_is_no_http_is_refused_without_a_log_line(relay: RelayProcess) -> None:
    connection = connect(relay)
    connection.sendall(b"hello\r\n\r\n")
    assert rest(connection).startswith(b"HTTP/1.1 400 ")
    assert "Invalid HTTP" not in relay.log()


def test_a_client_that_does_not_read_is_ended(tmp_path: Path) -> None:
    with RelayProcess(tmp_path, http={"request_timeout": 0.5, "idle_timeout": 0.5, "header_timeout": 0.5}) as relay:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.connect(("127.0.0.1", relay.port))
        connection.sendall((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") * 1000)
        until(lambda: _ended(connection))
        connection.close()
        assert relay.get("/-/healthy").status == 200


def _ended(connection: Any) -> Any:
    """Say whether the other side is gone: reading would help it, so write."""
    try:
        connection.send(b"G")
    except OSError:
        return True
    return False


def test_sigterm_ends_it_at_once_and_cleanly(tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        idle = connect(relay)
        half = connect(relay)
        half.sendall(b"POST /alertmanager HTTP/1.1\r\nContent-Length: 5\r\n")
        assert relay.post(payload()).status == 200
        began = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - began < 2
        assert relay.events()[-1]["event"] == "relay stopped"
        assert not [event for event in relay.events() if event["level"] == "error"]
        idle.close()
        half.close()


def test_sigterm_within_a_body_ends_it_within_two_seconds(tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        connection = connect(relay)
        head = f"POST /alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {relay.token}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 50\r\n\r\n{")
        until(lambda: relay.metric("relay_webhook_requests_total") == 1)
        began = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - began < 2
        connection.close()


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        relay.process.send_signal(signal.SIGINT)
        assert relay.process.wait(5) == 0


def test_each_message_is_one_event_in_the_log(tmp_path: Path) -> None:
    with RelayProcess(tmp_path) as relay:
        assert relay.post(payload()).status == 200
        (event,) = until(lambda: [e for e in relay.events() if e["event"] == "message previewed"])
        assert event["text"] == ":red_circle: *CRITICAL*  HostCpuHigh on web-01"
        assert event["status"] == "firing"


def ended(relay: RelayProcess) -> Any:
    relay.spawn()
    code = relay.process.wait(15)
    return code, relay.events()[-1]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, event = ended(RelayProcess(tmp_path, listen=f"127.0.0.1:{port}"))
    assert code == 1
    assert f"port {port}" in event["error"]
    assert "--listen" in event["error"]


def test_a_database_in_use_is_named(tmp_path: Path) -> None:
    with RelayProcess(tmp_path):
        code, event = ended(RelayProcess(tmp_path))
    assert code == 1
    assert "another relay uses it" in event["error"]


START = {
    "missing": (lambda path: path.unlink(), "cannot be read"),
    "empty": (lambda path: path.write_text(""), "empty"),
    "open": (lambda path: path.chmod(0o644), "open to every user"),
}


@pytest.mark.parametrize(("spoil", "words"), START.values(), ids=START)
def test_a_token_file_that_cannot_be_used_ends_the_start(tmp_path: Path, spoil: Any, words: str) -> None:
    relay = RelayProcess(tmp_path)
    spoil(relay.token_file)
    code, event = ended(relay)
    assert code == 2
    assert words in event["error"]


def test_no_token_file_at_all_is_told(tmp_path: Path) -> None:
    code, event = ended(RelayProcess(tmp_path, token_file=None))
    assert code == 2
    assert "token_file: not set" in event["error"]


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", ":0", "localhost:0"])
def test_it_listens_where_it_is_told(address: Any) -> None:
    with listen(address) as server:
        assert server.getsockname()[1] > 0


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on host\.invalid:1"):
        listen("host.invalid:1")


def test_only_the_relay_imports_its_libraries() -> None:
    code = "import sys, exporter.settings, exporter.logs, exporter.relay; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": "."}
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert not {"prometheus_client", "starlette", "uvicorn", "jinja2"} & set(asked.stdout.split())


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Nagle's algorithm would hold the second piece of each answer back for 40 ms."""
    with listen("127.0.0.1:0") as server, socket.create_connection(server.getsockname()[:2]):
        accepted, _ = server.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
