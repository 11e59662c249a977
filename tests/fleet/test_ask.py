"""The question that the verification asks an exporter, on the exporter's machine."""

import http.server
import io
import json
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Authority, Pair
from tests.support.role_files import load
from tests.support.web_server import WebServer, tls_of


class Page(http.server.BaseHTTPRequestHandler):
    """An exporter that wants a password; two of its collectors work."""

    TEXT = b"""host_exporter_build_info{python="3.13.5",version="1.2.3"} 1
node_scrape_collector_success{collector="cpu"} 1
node_scrape_collector_success{collector="bcache"} 0
node_scrape_collector_success{collector="loadavg"} 1
"""

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == "Basic cHJvbWV0aGV1czpww6Rzcw=="
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(self.TEXT)))
        self.end_headers()
        self.wfile.write(self.TEXT)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


NOTHING = {"user": "", "password": "", "certificate": "", "key": ""}
PASSWORD = {**NOTHING, "user": "prometheus", "password": "päss"}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    module = load("hostwatch_exporter/files/ask.py")

    def run(url: str, question: dict[str, str]) -> dict[str, object]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({**question, "url": url})))
        module.main()
        answer: dict[str, object] = json.loads(capsys.readouterr().out)
        return answer

    return run


def test_exporter_tells_version_and_collectors_to_who_has_the_password(
    ask: Callable[..., dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with WebServer(Page) as server:
        url = f"{server.url}/metrics"
        answer = ask(url, PASSWORD)
        assert answer == {
            "status": 200, "reached": True, "said": "", "version": "1.2.3", "collectors": ["cpu", "loadavg"],
        }  # fmt: skip
        refused = ask(url, {**PASSWORD, "password": "guessed"})
        assert (refused["status"], refused["reached"], refused["said"]) == (401, True, "HTTP 401 Unauthorized")
        assert ask(url, NOTHING)["status"] == 401


def test_nobody_there_is_not_reached(ask: Callable[..., dict[str, object]]) -> None:
    server = WebServer(Page)
    server.stop()
    answer = ask(f"{server.url}/metrics", PASSWORD)
    assert (answer["status"], answer["reached"]) == (0, False)
    assert "refused" in str(answer["said"])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_exporter_that_wants_a_certificate_is_asked_with_one(
    ask: Callable[..., dict[str, object]], tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority, stranger = Authority(tmp_path / "clients"), Authority(tmp_path / "strangers")
    context = tls_of(*authority.issue("server"))
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    with WebServer(Page, tls=context) as server:
        url = f"{server.url}/metrics"
        assert ask(url, {**PASSWORD, **texts(authority.issue("prometheus"))})["version"] == "1.2.3"
        # it refuses, so it is there
        for question in (PASSWORD, {**PASSWORD, **texts(stranger.issue("prometheus"))}):
            refused = ask(url, question)
            assert (refused["status"], refused["reached"]) == (0, True)
            assert str(refused["said"]).startswith("ended the connection, as for a certificate that it does not take: ")
        pair = texts(authority.issue("prometheus"))
        assert ask(url, {**PASSWORD, **pair, "key": ""})["reached"] is False


def texts(pair: Pair) -> dict[str, str]:
    """Return a pair as the roles have it: texts, their last line end gone."""
    return {"certificate": pair.certificate.read_text().strip(), "key": pair.key.read_text().strip()}
