import os
import sys
import time
from pathlib import Path

import pytest

from bench.failures import BenchError
from bench.processes import Server, plain_environment

SPIN = """
import socket, sys
host, port = sys.argv[1].split(":")
with socket.create_server((host, int(port))) as listener:
    sum(range(2_000_000))
    connection, _ = listener.accept()
    connection.recv(1)
"""
STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SPIN


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_server_is_stopped_when_its_measurement_fails(tmp_path: Path) -> None:
    server = Server("s", [sys.executable, "-c", SPIN, "{address}"], tmp_path / "log")

    def measure() -> None:
        with server:
            server.connect().close()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure()
    assert is_gone(server.pid)


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.processes.STOP_SECONDS", 0.1)
    with Server("s", [sys.executable, "-c", STUBBORN, "{address}"], tmp_path / "log") as server:
        scraper = server.connect()  # it listens, hence it ignores SIGTERM by now
    scraper.close()
    assert is_gone(server.pid)


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "print('no such setting'); raise SystemExit(2)"]
    with Server("ours", argv, tmp_path / "log") as server, pytest.raises(BenchError, match=r"ours: .*no such setting"):
        server.connect()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="No such file"), Server("ours", ["/nonexistent"], tmp_path / "log"):
        pass


def test_clock_and_memory_are_the_servers_own(tmp_path: Path) -> None:
    with Server("s", [sys.executable, "-c", SPIN, "{address}"], tmp_path / "log") as server:
        scraper = server.connect()
        deadline = time.monotonic() + 10
        while server.cpu_seconds() < 0.02 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert 0.02 <= server.cpu_seconds() < 10
        assert server.memory()["rss"] >= server.memory()["pss"] > 1_000_000
        server.check_alone()
        scraper.close()


def test_a_server_with_children_is_refused(tmp_path: Path) -> None:
    child = "import subprocess; subprocess.Popen(['sleep', '5']);" + SPIN
    with Server("s", [sys.executable, "-c", child, "{address}"], tmp_path / "log") as server:
        scraper = server.connect()
        with pytest.raises(BenchError, match="has started other processes") as raised:
            server.check_alone()
        scraper.close()
        os.kill(int(str(raised.value).split("'")[1]), 9)


def test_the_clock_of_a_process_that_ended_is_an_error(tmp_path: Path) -> None:
    with Server("s", [sys.executable, "-c", SPIN, "{address}"], tmp_path / "log") as server:
        server.stop()
        with pytest.raises(BenchError, match="s: ended"):
            server.cpu_seconds()


def test_what_tunes_an_interpreter_does_not_reach_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("GOGC", "off")
    monkeypatch.setenv("LANG", "C")
    plain = plain_environment()
    assert plain["LANG"] == "C"
    assert not any(key.startswith(("PYTHON", "GO")) for key in plain)
