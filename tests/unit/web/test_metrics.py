"""/metrics: what of a request narrows, packs and limits a scrape."""

import gzip
import math
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.runner import Runner
from exporter.exposition import CONTENT_TYPE, Block, Family, Layout
from exporter.kernel import KernelFiles
from exporter.server.http import Reply, Request, Routes
from exporter.settings.exporter import Http
from exporter.web.metrics import Metrics, accepts_gzip, scrape_timeout, wanted_collectors
from tests.support.client import Answer, ask, request
from tests.support.exporter import InProcess

ACCEPTED = {
    b"": False,
    b"gzip": True,
    b"GZip": True,
    b"identity": False,
    b"deflate, gzip;q=1.0, *;q=0.5": True,
    b"gzip;q=0": False,
    b"gzip; q=0.0": False,
    b"gzip;q=0.001": True,
    b"*": True,
    b"*;q=0": False,
    b"gzip;q=0, *": False,
    b"identity, *;q=0": False,
    b"br, zstd": False,
    b"gzip;q=": False,
    b"gzip;q=garbage": False,
    b"gzip;q=nan": False,
    b"gzipped": False,
    b",,;;=,": False,
    b"\xff\xfe": False,
    b"gzip;q=1;q=0": False,
}


@pytest.mark.parametrize(("header", "accepted"), ACCEPTED.items())
def test_gzip_is_sent_to_those_who_take_it(header: bytes, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


TIMEOUTS = {
    b"": 9.5,
    b"10": 9.5,
    b"10.000000": 9.5,
    b"1": 0.5,
    b"1.1": 0.6,
    b"0.6": 0.3,
    b"0.001": 0.0005,
    b"0": 9.5,
    b"-5": 9.5,
    b"nan": 9.5,
    b"inf": 9.5,
    b"1e300": 9.5,
    b"3601": 9.5,
    b"garbage": 9.5,
    b"10s": 9.5,
    b"\xff": 9.5,
    b"1" * 5000: 9.5,
}


@pytest.mark.parametrize(("header", "seconds"), TIMEOUTS.items())
def test_a_scrape_ends_before_its_scraper_gives_up(header: bytes, seconds: float) -> None:
    assert scrape_timeout(header, 0.5) == pytest.approx(seconds)


@given(header=st.binary(max_size=30), offset=st.floats(0, 100))
def test_any_timeout_header_gives_a_positive_time(header: bytes, offset: float) -> None:
    seconds = scrape_timeout(header, offset)
    assert math.isfinite(seconds)
    assert 0 < seconds <= 3600


@given(header=st.binary(max_size=100))
def test_any_accept_encoding_is_understood_somehow(header: bytes) -> None:
    assert accepts_gzip(header) in {True, False}


@given(query=st.text(max_size=100))
def test_any_query_is_understood_or_refused_with_a_reason(query: str) -> None:
    try:
        names = wanted_collectors(query, ("cpu",))
    except ValueError as err:
        assert "collector" in str(err) or "collect[]" in str(err)  # noqa: PT017 -- either way is right
    else:
        assert names in {None, frozenset({"cpu"})}


class Fake:
    name: ClassVar[str] = "one"
    families: ClassVar[tuple[Family, ...]] = ()
    blocking: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self.family = Family(name + "_value", "gauge", "A value (test).")
        self.name = name  # type: ignore[misc]
        self.families = (self.family,)  # type: ignore[misc]

    def collect(self) -> Block:
        return Layout(((self.family, [()]),)).fill((b"1",))


@pytest.fixture(scope="module")
def server() -> Iterator[InProcess]:
    handler: Metrics | None = None

    def metrics(request: Request, reply: Reply) -> None:
        nonlocal handler
        if handler is None:  # the runner belongs to the loop that first asks
            handler = Metrics(Runner([Fake("one"), Fake("two")], KernelFiles(Path("/x"), Path("/x")), 1.0), 0.5)
        handler(request, reply)

    running = InProcess(Routes({"/metrics": metrics}), Http())
    yield running
    running.end()
    assert not running.failures


def get(server: InProcess, query: str = "", *headers: str) -> Answer:
    return ask(server.port, request("/metrics" + query, *headers, "Connection: close"))


def test_the_page_is_plain_text_when_nothing_is_asked(server: InProcess) -> None:
    answer = get(server)
    assert answer.status == 200
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in answer.headers
    assert b"one_value 1\n" in answer.body
    assert b"two_value 1\n" in answer.body


def test_the_packed_page_is_the_same(server: InProcess) -> None:
    answer = get(server, "", "Accept-Encoding: gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"

    def values(page: bytes) -> list[bytes]:
        return [line for line in page.split(b"\n") if b"duration" not in line]

    assert values(gzip.decompress(answer.body)) == values(get(server).body)


@pytest.mark.parametrize("query", ["?collect[]=one", "?collect%5B%5D=one", "?collect[]=one&collect[]=one"])
def test_collect_narrows_the_page(server: InProcess, query: str) -> None:
    body = get(server, query).body
    assert b"one_value 1\n" in body
    assert b"two" not in body


BAD = {
    "?collect[]=cpuu": b"400: unknown or disabled collector 'cpuu'; there is one, two\n",
    "?collect[]=one&collect[]=x": b"400: unknown or disabled collector 'x'; there is one, two\n",
    "?collect[]=": b"400: unknown or disabled collector ''; there is one, two\n",
    "?collect[]=%0d%0aX:%20y": b"400: unknown or disabled collector '\\r\\nX: y'; there is one, two\n",
    "?collect=one": b"400: unknown parameter 'collect'; expected collect[]\n",
    "?name[]=one": b"400: unknown parameter 'name[]'; expected collect[]\n",
    "?" + "collect[]=one&" * 300: b"400: expected at most 200 collect[] parameters\n",
}


@pytest.mark.parametrize(("query", "body"), BAD.items(), ids=range(len(BAD)))
def test_a_query_that_is_not_ours_is_named(server: InProcess, query: str, body: bytes) -> None:
    answer = get(server, query)
    assert (answer.status, answer.body) == (400, body)


@pytest.mark.parametrize("header", ["", "0", "-1", "nan", "garbage", "0.0001", "1e99"])
def test_an_odd_timeout_header_still_gets_a_page(server: InProcess, header: str) -> None:
    answer = get(server, "", f"X-Prometheus-Scrape-Timeout-Seconds: {header}")
    assert answer.status == 200
    assert b"one_value 1\n" in answer.body
