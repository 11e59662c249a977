"""Asking a Docker Engine: in a version that both know, and with its own words for what it refuses."""

import http.server
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.clients.docker import EngineError, NoEngineError
from exporter.drills import engine_api
from exporter.drills.faults.containers import ContainerFailed
from exporter.drills.faults.exporters import CollectorFailing
from tests.support.nobody import no_rights, open_folder
from tests.support.sites import site_of


class Handler(http.server.BaseHTTPRequestHandler):
    """An engine that wants a version of 1.44 at least, as Docker Engine 29 does."""

    asked: list[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.asked.append(f"{self.command} {self.path}")
        old = self.path.startswith("/v") and int(self.path.split("/")[1].partition(".")[2]) < 44
        body = b'{"message":"client version 1.24 is too old"}' if old else b'{"Id":"1"}'
        self.send_response(400 if old else 200)
        self.send_header("Api-Version", "1.52")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET  # noqa: N815 -- http.server's names

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def engine(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Run an engine; return its socket and what it is asked."""
    asked: list[str] = []
    handler = type("Asked", (Handler,), {"asked": asked})
    with socketserver.ThreadingUnixStreamServer(str(folder / "s"), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield str(folder / "s"), asked
        server.shutdown()
        thread.join(10)


def test_engine_is_asked_in_a_version_that_both_know(engine: tuple[str, list[str]]) -> None:
    path, asked = engine
    assert engine_api.call(path, "POST", "/containers/create?name=a", {"Image": "b"}) == {"Id": "1"}
    engine_api.remove_container(path, "a")
    assert asked == [
        *("GET /_ping", "POST /v1.51/containers/create?name=a"),
        *("GET /_ping", "DELETE /v1.51/containers/a?force=1&v=1"),
    ]
    assert engine_api.lack(path) == ""


def test_engine_that_is_missing_says_which_option(folder: Path) -> None:
    with pytest.raises(NoEngineError, match="none"):
        engine_api.call(str(folder / "none"), "GET", "/version")
    assert "no Docker Engine" in engine_api.lack(str(folder / "none"))
    assert "--docker" in engine_api.lack(str(folder / "none"))


def test_engine_that_refuses_is_told_in_its_words(
    engine: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_api.Engine, "fetch_prefix", lambda *_: "/v1.24")
    with pytest.raises(EngineError, match=r"client version 1\.24 is too old"):
        engine_api.call(engine[0], "GET", "/version")
    assert "cannot be used" in engine_api.lack(engine[0])


@pytest.mark.parametrize("fault", [ContainerFailed, CollectorFailing])
def test_socket_that_is_closed_to_us_is_no_missing_engine(
    folder: Path, fault: type[ContainerFailed | CollectorFailing], tmp_path: Path
) -> None:
    site = site_of(tmp_path, docker=str(folder / "s"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()
        (folder / "s").chmod(0)
        with no_rights():
            reason = fault().missing(site)[0]
    assert "closed to this user" in reason
    assert "no Docker Engine" not in reason
