"""What a drill starts: within limits, marked, ended with it; and the far host of its own network."""

import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.drills import victims
from exporter.drills.children import Limits, bounded, start
from exporter.drills.namespace import answer_to, listen
from exporter.drills.processes import MARK

COMMAND = ["stress-ng", "--cpu", "1"]


@pytest.mark.parametrize(
    ("limits", "systemd", "begins"),
    [
        pytest.param(Limits(memory_bytes=1000, seconds=60), False, "stress-ng", id="no-systemd"),
        pytest.param(Limits(), True, "stress-ng", id="nothing-to-limit"),
        pytest.param(Limits(memory_bytes=1000), True, "systemd-run --scope", id="memory"),
        pytest.param(Limits(seconds=60), True, "systemd-run --scope", id="time"),
    ],
)
def test_limits_are_a_scope_where_there_is_systemd(limits: Limits, systemd: bool, begins: str) -> None:
    made = bounded(COMMAND, limits, systemd=systemd)
    assert " ".join(made).startswith(begins)
    assert made[-3:] == COMMAND


def test_scope_says_what_may_be_used() -> None:
    made = bounded(COMMAND, Limits(memory_bytes=1000, seconds=60), systemd=True)
    assert {"MemoryMax=1000", "MemorySwapMax=0", "RuntimeMaxSec=60"} <= set(made)


def test_child_is_marked_bounded_and_first_to_go_when_memory_runs_out() -> None:
    code = (
        "import os, resource; print(os.environ['HOSTWATCH_DRILL'], os.nice(0),"
        "open('/proc/self/oom_score_adj').read().strip(), resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    assert MARK == "HOSTWATCH_DRILL"
    with tempfile.TemporaryFile() as log:
        limits = Limits(memory_bytes=1 << 30, nice=3)
        assert start([sys.executable, "-S", "-c", code], "run/it", log, limits=limits, systemd=False).wait(30) == 0
        log.seek(0)
        assert log.read().decode().split() == ["run/it", str(min(19, os.nice(0) + 3)), "1000", str(1 << 30)]


def test_program_that_is_missing_is_an_error() -> None:
    with tempfile.TemporaryFile() as log, pytest.raises(OSError, match="hw-no-such"):
        start(["/hw-no-such"], "run/it", log)


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo(identifier: int, kind: int = 8) -> bytes:
    body = struct.pack("!BBHHH", kind, 0, 0, identifier, 7) + b"payload!"
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 36, 0, 0, 64, 1, 0, b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02")
    return head + body


@pytest.mark.parametrize("identifier", [0, 1, 0x0800, 0xF7FF, 0xFFFF])
def test_echo_is_answered_with_a_good_checksum(identifier: int) -> None:
    reply = answer_to(echo(identifier))
    assert reply is not None
    assert (reply[12:16], reply[16:20]) == (b"\xc0\x00\x02\x02", b"\xc0\x00\x02\x01")
    assert reply[20] == 0
    assert checksum(reply[20:]) == 0
    assert reply[24:] == echo(identifier)[24:]


@pytest.mark.parametrize(
    "packet", [echo(1, kind=0), b"\x45" + echo(1)[1:9] + b"\x11" + echo(1)[10:], b"\x60" + bytes(60)]
)
def test_other_packets_have_no_answer(packet: bytes) -> None:
    assert answer_to(packet) is None


def test_network_of_its_own_is_reached_where_it_is_told() -> None:
    with listen("127.0.0.2", 0) as there, socket.create_connection(there.getsockname(), timeout=10) as asking:
        assert asking.getpeername()[0] == "127.0.0.2"


Ask = Callable[[str], tuple[int, bytes]]


@pytest.fixture
def serving() -> Any:
    """Start a victim in this process; return how it is asked."""
    servers: list[Any] = []

    def begin(kind: str, *arguments: str) -> Ask:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = victims.make_server(kind, port, *arguments)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

        def ask(path: str) -> tuple[int, bytes]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as err:
                with err:
                    return err.code, err.read()

        return ask

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_victims_do_as_their_file_says(serving: Callable[..., Ask], tmp_path: Path) -> None:
    file = tmp_path / "file"
    asks = {kind: serving(kind, str(file)) for kind in ("http", "api", "vault", "slack")}
    file.write_text("1")
    assert asks["api"]("/servers")[1] == b'["10.0.0.1", "10.0.0.2"]'
    assert b'"20%"' in asks["api"]("/10.0.0.1")[1]
    assert b'"99%"' in asks["api"]("/10.0.0.2")[1]
    assert asks["vault"]("/v1/secret/metadata/hostwatch/slack")[0] == 200
    assert b'"bot_token"' in asks["vault"]("/v1/secret/data/hostwatch/slack")[1]
    assert asks["slack"]("/api/auth.test")[0] == 200
    file.write_text("0")
    assert asks["vault"]("/v1/auth/approle/login") == (503, b'{"errors":["Vault is sealed"]}')
    assert asks["slack"]("/api/chat.postMessage")[0] == 500
    assert asks["http"]("/") == (200, b"well\n")


def test_victims_end_with_their_parent() -> None:
    code = (
        "import sys, tempfile, os; from exporter.drills.children import start\n"
        "child = start(['sleep', '60'], 'run/it', tempfile.TemporaryFile(), systemd=False)\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    pid = int(done.stdout)
    for _ in range(3000):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return
        except OSError:
            return
        threading.Event().wait(0.01)
    pytest.fail("it lives on")
