"""A package index of the tests' own, on loopback and behind a certificate of their own: what a company has."""

import html
import http.server
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from tests.support.certificates import Pair
from tests.support.web_server import WebServer, tls_of


@contextmanager
def package_index(wheels: Path, pair: Pair) -> Iterator[str]:
    """Serve a folder of wheels as PEP 503 has it; yield the address of the index."""
    with WebServer(_handler(wheels), tls=tls_of(*pair)) as server:
        yield f"https://localhost:{server.port}/simple/"


def _handler(wheels: Path) -> type[http.server.BaseHTTPRequestHandler]:
    files = {path.name: path for path in wheels.glob("*.whl")}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path)
            if found := re.fullmatch(r"/simple/([a-z0-9-]+)/", path):
                names = [name for name in files if _normal(name.split("-")[0]) == found[1]]
                links = "".join(f'<a href="/files/{html.escape(name)}">{name}</a>' for name in names)
                self._send(200 if names else 404, links.encode(), "text/html")
            elif (file := files.get(path.removeprefix("/files/"))) is not None:
                self._send(200, file.read_bytes(), "application/octet-stream")
            else:
                self._send(404, b"", "text/html")

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
