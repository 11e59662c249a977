"""Scrapes beside bad clients: hardly slower than without them, and nothing is left of those clients afterwards."""

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import attackers
from tests.support.client import Reader, connect, request, until
from tests.support.exporter import Child, exporter_running

SCRAPE = request("/metrics", "Accept-Encoding: gzip", "X-Prometheus-Scrape-Timeout-Seconds: 10")
SCRAPES, PHASES, TRIES = 200, 5, 3
HELD = {"1 idle": 1, "200 idle": 200}
MB = 1024 * 1024


@contextmanager
def attack(kind: str, port: int) -> Iterator[None]:
    command = [sys.executable, str(Path(attackers.__file__)), kind, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdin is not None
        yield
        process.stdin.close()
        assert process.wait(10) == 0


def p99(port: int) -> float:
    """Scrape on one connection, as Prometheus does, every few milliseconds; return the 99th percentile in seconds."""
    times = []
    with connect(port) as sock:
        reader = Reader(sock)
        for _ in range(SCRAPES):
            start = time.perf_counter()
            sock.sendall(SCRAPE)
            assert reader.answer().status == 200
            times.append(time.perf_counter() - start)
            time.sleep(0.002)  # the pace, not a wait: attackers get their turns
    return statistics.quantiles(times, n=100)[98]


def ratio(kind: str, child: Child, quiet_files: int) -> float:
    """Return p99 beside the attack over p99 without: phases in turn, the median of each kind.

    Each phase begins once the connections before it are gone and its own are accepted: what is told apart is
    scraping beside them and without them, not the moment in which two hundred come at once.
    """
    undisturbed, disturbed = [], []
    for _ in range(PHASES):
        until(lambda: child.open_files <= quiet_files, "the last attack's connections are gone", seconds=15)
        undisturbed.append(p99(child.port))
        with attack(kind, child.port):
            until(lambda: child.open_files >= quiet_files + HELD.get(kind, 0), "they are accepted")
            disturbed.append(p99(child.port))
    return statistics.median(disturbed) / statistics.median(undisturbed)


def files_without_connections(child: Child) -> int:
    """Count its open files while a connection of ours is answered: those before it are closed by then."""
    with connect(child.port) as sock:
        sock.sendall(SCRAPE)
        assert Reader(sock).answer().status == 200
        return child.open_files - 1


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with exporter_running() as running:
        until(lambda: running.threads >= 2, "the sampler runs")
        p99(running.port)
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("kind", attackers.KINDS)
def test_scrapes_beside_it_take_at_most_twice_as_long(child: Child, kind: str) -> None:
    """A p99 on two cores that others share is noise now and then: one try of three within the goal shows that we can.

    A server that lets one client stop another is 10 to 1000 times slower in each of them.
    """
    before, resident = files_without_connections(child), child.resident
    found: list[float] = []
    while len(found) < TRIES and (not found or found[-1] > 2):
        found.append(ratio(kind, child, before))
    print(f"{kind}: p99 beside it / without: {', '.join(f'{r:.2f}' for r in found)}")
    assert found[-1] <= 2
    assert child.resident - resident < 8 * MB
    until(lambda: child.open_files <= before, f"open files are {before} again", seconds=15)
    assert "Traceback" not in child.text


@pytest.mark.slow
def test_many_that_never_read_keep_memory_bounded() -> None:
    with exporter_running() as child:
        p99(child.port)
        resident = child.resident
        socks = [connect(child.port, receive_buffer=4096) for _ in range(300)]
        for _ in range(30):
            for sock in socks:
                sock.setblocking(False)
                try:
                    sock.send(SCRAPE * 8)
                except (BlockingIOError, ConnectionError):
                    continue
        p99(child.port)
        grown = child.resident - resident
        for sock in socks:
            sock.close()
        assert grown < 40 * MB, grown  # an answer of 3 to 10 KB, 17 small requests and asyncio's objects for each


@pytest.mark.slow
def test_half_requests_in_number_keep_memory_bounded() -> None:
    with exporter_running() as child:
        p99(child.port)
        before, resident = child.open_files, child.resident
        socks = [connect(child.port) for _ in range(300)]
        for sock in socks:
            sock.sendall(b"GET /metrics HTTP/1.1\r\n" + b"".join(b"%x:\r\n" % n for n in range(2500)))
        p99(child.port)
        grown = child.resident - resident
        for sock in socks:
            sock.close()
        assert grown < 20 * MB, grown
        until(lambda: child.open_files <= before, "open files are what they were")


def test_over_the_limit_the_longest_quiet_connection_makes_room(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("http: {max_connections: 50}\n")
    with exporter_running("--config", str(file)) as child:
        scraper = connect(child.port)
        reader = Reader(scraper)
        scraper.sendall(SCRAPE)
        assert reader.answer().status == 200
        before = child.open_files  # the kernel's files among them
        idle = []
        for _ in range(300):
            idle.append(connect(child.port))
            scraper.sendall(SCRAPE)
            assert reader.answer().status == 200, "who is scraping stays, though it came first"
        closed = sum(_is_closed(sock) for sock in idle)
        assert closed >= 250
        assert not any(_is_closed(sock) for sock in idle[-40:])
        assert child.open_files < before + 50 + 10
        for sock in (scraper, *idle):
            sock.close()


def _is_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
