"""The REST API and the stream of a running exporter: answers match the document, and open pages delay no scrape."""

import asyncio
import base64
import itertools
import json
import os
import selectors
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import bcrypt
import hypothesis
import pytest
import schemathesis

from exporter.server.http import Channel, Reply, Request, Response
from exporter.settings.exporter import Http
from exporter.settings.values import Duration
from exporter.web.dashboard import FILES
from exporter.web.endpoints import ENDPOINTS
from tests.support.client import Reader, ask, connect, request, until
from tests.support.exporter import Child, exporter_running, server_running

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

QUICK = "sampler: {interval: 1s}\ncollectors: {process_groups: {interval: 1s}}\n"
STREAM = request("/api/v1/stream")


@contextmanager
def running(folder: Path, text: str = QUICK) -> Iterator[Child]:
    config = folder / "exporter.yml"
    config.write_text(text)
    with exporter_running("--config", str(config)) as child:
        yield child


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with running(tmp_path_factory.mktemp("api")) as child:
        until(lambda: "cpu_usage_ratio" in told(child.port, "history?name=cpu_usage_ratio"), "a curve", seconds=30)
        yield child


def told(port: int, path: str) -> str:
    return ask(port, request(f"/api/v1/{path}")).body.decode()


def answer(port: int, path: str) -> dict[str, Any]:
    found = ask(port, request(f"/api/v1/{path}"))
    assert found.status == 200, found.body
    return dict(json.loads(found.body))


def test_answers_tell_of_this_machine(exporter: Child) -> None:
    port = exporter.port
    assert len(answer(port, "cpu")["cores"]) == os.cpu_count()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert abs(answer(port, "memory")["total_bytes"] - total) < 0.02 * total
    assert "lo" in {one["interface"] for one in answer(port, "network")["interfaces"]}
    root = next(one for one in answer(port, "disks")["filesystems"] if one["mountpoint"] == "/")
    status = os.statvfs("/")
    assert root["size_bytes"] == status.f_blocks * status.f_frsize
    until(lambda: answer(port, "processes").get("processes"), "two scans", seconds=30)
    assert answer(port, "health")["status"] == "ok"


def events(sock: socket.socket) -> Iterator[dict[str, Any]]:
    """Yield what a stream tells."""
    data = b""
    while True:
        while b"\n\n" not in data:
            more = sock.recv(65536)
            if not more:
                return
            data += more
        event, _, data = data.partition(b"\n\n")
        lines = event.splitlines()
        if b"event: update" in lines:
            yield json.loads(next(line for line in lines if line.startswith(b"data: ")).removeprefix(b"data: "))


def test_stream_tells_what_the_endpoints_tell_and_goes_on(exporter: Child) -> None:
    with connect(exporter.port, timeout=30) as sock:
        sock.sendall(STREAM)
        found = events(sock)
        first, second = next(found), next(found)
    assert second["sample"]["timestamp_seconds"] > first["sample"]["timestamp_seconds"]
    assert first["memory"]["total_bytes"] == answer(exporter.port, "memory")["total_bytes"]
    for part in ("machine", "cpu", "disks", "network", "containers", "services", "latency", "processes"):
        assert part in first
    assert "alerts" not in first, "nobody is asked without a setting"


def test_page_stream_and_api_are_behind_the_locks(tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users:\n  me: {bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    password = "Authorization: Basic " + base64.b64encode(b"me:secret").decode()
    targets = ["/", *FILES, "/about", "/api/v1/stream", *ENDPOINTS, "/api/v1/openapi.json", "/dashboard/none"]
    with exporter_running("--web-config", str(web)) as child:
        assert {ask(child.port, request(target)).status for target in targets} == {401}
        assert ask(child.port, request("/", password)).status == 200


@pytest.mark.parametrize(
    ("target", "status"), [("/dashboard/", 404), ("/dashboard/../daemon.py", 404), ("/about", 200)]
)
def test_only_the_parts_of_the_page_are_served(exporter: Child, target: str, status: int) -> None:
    assert ask(exporter.port, request(target)).status == status


@pytest.mark.parametrize("target", FILES)
def test_parts_of_the_page_come_with_a_strict_policy(exporter: Child, target: str) -> None:
    answer = ask(exporter.port, request(target))
    policy = answer.headers["content-security-policy"]
    assert answer.status == 200
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    assert ask(exporter.port, request(target, method="POST")).status == 405
    assert b"http://" not in answer.body.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https://" not in answer.body


def test_page_that_is_switched_off_is_a_page_of_links(tmp_path: Path) -> None:
    with running(tmp_path, "dashboard: {enabled: false}\n") as child:
        assert b'href="/metrics"' in ask(child.port, request("/")).body
        assert ask(child.port, STREAM).status == 404
        assert ask(child.port, request("/dashboard/page.js")).status == 404
        assert ask(child.port, request("/api/v1/health")).status == 200


def test_one_page_too_many_is_told_so(tmp_path: Path) -> None:
    with running(tmp_path, QUICK + "dashboard: {max_pages: 2}\n") as child, ExitStack() as stack:
        for _ in range(2):
            sock = stack.enter_context(connect(child.port, timeout=30))
            sock.sendall(STREAM)
            next(events(sock))
        assert ask(child.port, STREAM).status == 503


def test_it_ends_at_once_while_pages_are_open(tmp_path: Path) -> None:
    with running(tmp_path) as child, connect(child.port, timeout=30) as sock:
        sock.sendall(STREAM)
        next(events(sock))
        child.signal(signal.SIGTERM)
        assert child.wait(30) == 0
        while sock.recv(65536):
            pass


def test_reader_that_is_slow_is_dropped_and_the_others_are_told() -> None:
    piece, sent = b"x" * 300_000, list[int]()
    channels: set[Channel] = set()

    def tick() -> None:
        sent.append(len(channels))
        for channel in tuple(channels):
            channel.send(piece)
        asyncio.get_running_loop().call_later(0.02, tick)

    def opened(channel: Channel) -> Callable[[], None]:
        channels.add(channel)
        if not sent:
            tick()
        return lambda: channels.discard(channel)

    def handle(_: Request, reply: Reply) -> None:
        reply(Response(200, b"", "text/event-stream", (), opened))

    with (
        server_running({"/": handle}, Http(request_timeout=Duration(1))) as server,
        connect(server.port, receive_buffer=2048) as deaf,
        connect(server.port, timeout=30) as reader,
    ):
        for sock in (deaf, reader):
            sock.sendall(request("/"))
        until(lambda: len(channels) == 2, "both are open", seconds=30)
        got = 0
        while len(channels) > 1:
            got += len(reader.recv(1 << 20))
        assert got > 5 * len(piece), "it was told all the while"
        (left,) = channels
        assert reader.recv(1 << 20)
        server.call(left.end)
        while reader.recv(1 << 20):
            pass
        until(lambda: not channels, "nobody is left", seconds=30)


def test_nothing_is_read_for_pages_once_the_last_is_closed(exporter: Child) -> None:
    with connect(exporter.port, timeout=30) as sock:
        sock.sendall(STREAM)
        next(events(sock))
    until(lambda: exporter.connections == 0, "it is gone", seconds=30)


CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


def ask_all(child: Child, count: int) -> int:
    """Ask every endpoint what its document allows, and what it does not, `count` times in all; return how often it was.

    Of an endpoint without parameters there is one case only, which is asked again until it had its share too.
    """
    url = f"http://127.0.0.1:{child.port}"
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)
    pairs = [
        (operation, mode)
        for operation, mode in itertools.product(operations, schemathesis.GenerationMode)
        if operation.query or mode is schemathesis.GenerationMode.POSITIVE  # else there is nothing to get wrong
    ]
    asked = 0
    for number, (operation, mode) in enumerate(pairs, 1):
        share = count * number // len(pairs)
        while asked < share:

            @hypothesis.settings(
                max_examples=share - asked,
                deadline=None,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def ask_it(case: schemathesis.Case) -> None:
                nonlocal asked
                case.call_and_validate(base_url=url, checks=checks)
                asked += 1

            ask_it()
    return asked


@pytest.mark.soak(10_000, 150)
def test_answers_match_the_document_and_memory_stays(exporter: Child, count: int) -> None:
    ask_all(exporter, 40)  # what is imported and cached at first is there from then on
    before = exporter.resident
    assert ask_all(exporter, count) >= count
    assert exporter.resident < before + 2 * 2**20
    assert "request failed" not in exporter.text


@contextmanager
def pages_open(port: int, number: int) -> Iterator[None]:
    """Read the streams of so many pages, on one thread, until the end."""
    ended, read = threading.Event(), [0] * number
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for place in range(number):
            sock = stack.enter_context(connect(port, timeout=30))
            sock.sendall(STREAM)
            selector.register(sock, selectors.EVENT_READ, place)

        def run() -> None:
            while not ended.is_set():
                for key, _ in selector.select(0.1):
                    read[key.data] += len(cast("socket.socket", key.fileobj).recv(65536))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            until(lambda: min(read) > 1000, "every page is told", seconds=60)
            yield
        finally:
            ended.set()
            thread.join()


def seconds_of_scrapes(port: int, number: int) -> list[float]:
    out = []
    with connect(port, timeout=30) as sock:
        reader = Reader(sock)
        for _ in range(number):
            time.sleep(0.008)
            start = time.perf_counter()
            sock.sendall(request("/metrics", "Accept-Encoding: gzip"))
            assert reader.answer().status == 200
            out.append(time.perf_counter() - start)
    return out


@pytest.mark.measured
def test_twenty_open_pages_do_not_delay_a_scrape(exporter: Child) -> None:
    """At a sample a second, five times what is usual; in turns, so that both meet the same noise."""
    alone, beside = list[float](), list[float]()
    for _ in range(4):
        alone += seconds_of_scrapes(exporter.port, 100)
        with pages_open(exporter.port, 20):
            beside += seconds_of_scrapes(exporter.port, 100)
    ratio = statistics.quantiles(beside, n=100)[98] / statistics.quantiles(alone, n=100)[98]
    print(f"p99 of a scrape with 20 open pages, against none: {ratio:.2f}")
    assert ratio <= 2
