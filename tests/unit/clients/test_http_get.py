"""One GET: a deadline for the whole of it, a size limit, no redirects, and errors without secrets."""

import base64
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.clients.http_get import Access, GetError, get, tls_context
from exporter.clients.prometheus import Target, fetch_targets
from exporter.logs import Secret
from tests.support.certificates import Authority
from tests.support.fake_fleet import FakeFleet


@pytest.fixture
def fleet() -> Iterator[FakeFleet]:
    with FakeFleet() as one:
        yield one


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def test_an_answer_comes_with_its_status(fleet: FakeFleet) -> None:
    fleet.raw, fleet.status = b"hello", 404
    answer = get(f"{fleet.url}/a/b?c=d", soon(), 100)
    assert (answer.status, answer.body) == (404, b"hello")
    assert (fleet.asked[0].path, fleet.asked[0].query) == ("/a/b", {"c": "d"})


def test_a_redirect_is_an_answer_and_nobody_follows_it(fleet: FakeFleet) -> None:
    fleet.status, fleet.headers = 302, {"Location": f"{fleet.url}/elsewhere"}
    assert get(fleet.url, soon(), 10_000).status == 302
    assert [one.path for one in fleet.asked] == ["/"]


@pytest.mark.parametrize("size", [1000, 1001])
def test_no_more_than_the_limit_is_read(fleet: FakeFleet, size: int) -> None:
    fleet.raw = b"x" * size
    if size <= 1000:
        assert len(get(fleet.url, soon(), 1000).body) == size
        return
    with pytest.raises(GetError, match="over 1000 bytes"):
        get(fleet.url, soon(), 1000)


def test_an_answer_that_drips_ends_at_the_deadline(fleet: FakeFleet) -> None:
    fleet.raw, fleet.drip = b"x" * 1000, 0.05
    began = time.monotonic()
    with pytest.raises(GetError, match="in time"):
        get(fleet.url, soon(0.2), 10_000)
    assert time.monotonic() - began < 2


def test_nobody_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(GetError, match="refused"):
            get(f"http://127.0.0.1:{taken.getsockname()[1]}/", soon(), 100)


def test_a_name_and_password_are_sent_and_never_told(fleet: FakeFleet) -> None:
    access = Access("monitor", Secret("pa:ss"))
    fleet.password = "Basic " + base64.b64encode(b"monitor:pa:ss").decode()
    assert get(fleet.url, soon(), 10_000, access).status == 200
    assert "pa:ss" not in repr(access)


BAD = {
    "scheme": "ftp://127.0.0.1/",
    "no host": "http:///x",
    "user": "http://a:b@127.0.0.1/",
    "port": "http://127.0.0.1:99999/",
    "second line": "http://127.0.0.1/a\r\nX: y",
    "blank": "http://127.0.0.1/a b",
    "brackets": "http://[",
    "long label": f"http://{'a' * 80}.example/",
}


@pytest.mark.parametrize("url", BAD.values(), ids=BAD)
def test_what_is_no_address_is_not_asked(url: str) -> None:
    with pytest.raises(GetError):
        get(url, soon(), 100)


@pytest.mark.needs("openssl")
@pytest.mark.slow
def test_tls_trusts_whom_it_is_told_to_and_shows_its_certificate(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    server, client = authority.issue("server"), authority.issue("client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    with FakeFleet(context) as fleet:
        good = tls_context(str(authority.certificate), str(client.certificate), str(client.key))
        assert get(fleet.url, soon(), 10_000, Access(tls=good)).status == 200
        with pytest.raises(GetError, match="not trusted"):
            get(fleet.url, soon(), 10_000, Access(tls=tls_context(str(other.certificate))))


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(GetError, match=r"ca\.crt"):
        tls_context(str(tmp_path / "ca.crt"))


def test_targets_are_those_that_prometheus_scrapes_now(fleet: FakeFleet) -> None:
    fleet.scrapes("web-01", health="down")
    found = fetch_targets(fleet.url + "/", soon(), Access())
    assert found == (Target({"instance": "web-01", "job": "node"}, f"{fleet.url}/metrics", "down"),)
    assert fleet.asked[0].query == {"state": "active"}


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"status":"error"}', b'{"status":"success","data":{"activeTargets":3}}']
)
def test_a_list_that_is_none_is_told(fleet: FakeFleet, body: bytes) -> None:
    fleet.raw = body
    with pytest.raises(GetError):
        fetch_targets(fleet.url, soon(), Access())
