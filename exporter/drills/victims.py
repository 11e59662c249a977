"""The small servers that drills break: `python -m exporter.drills.victims KIND PORT ...`, on 127.0.0.1.

http PORT FILE: answers after as many seconds as the file holds. tls PORT CERTIFICATE KEY. api PORT FILE: a services
API with as many healthy instances of two as the file holds. vault PORT FILE: a Vault that is sealed unless the file
holds 1. slack PORT FILE: a Slack that fails unless the file holds 1.
"""

import http.server
import json
import socketserver
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request with `content` and the status `code`."""

    code = 200

    def content(self) -> bytes:
        """Return the answer's body."""
        return b"well\n"

    def do_GET(self) -> None:
        """Answer."""
        with suppress(ValueError):
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = self.content()
        self.send_response(self.code)
        self.send_header("Content-Type", "application/json" if body[:1] in b"{[" else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET  # noqa: N815 -- http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _number(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return 0.0


def _slow(file: str) -> type[_Handler]:
    class Slow(_Handler):
        def content(self) -> bytes:
            time.sleep(_number(Path(file)))
            return b"well\n"

    return Slow


def _api(file: str) -> type[_Handler]:
    class Api(_Handler):
        def content(self) -> bytes:
            if self.path == "/servers":
                return json.dumps(["10.0.0.1", "10.0.0.2"]).encode()
            healthy = int(_number(Path(file)))
            cpu = "20%" if int(self.path[-1]) <= healthy else "99%"
            return json.dumps({"cpu": cpu, "service": "DrillService", "memory": "10%"}).encode()

    return Api


def _slack(file: str) -> type[_Handler]:
    class Slack(_Handler):
        def content(self) -> bytes:
            works = _number(Path(file)) == 1
            self.code = 200 if works else 500
            who = {"team": "drill", "user": "drill", "url": "http://127.0.0.1/"}
            answer = {"ok": True, "channel": "C1", "ts": f"{time.time():.6f}", **who} if works else {"ok": False}
            return json.dumps(answer).encode()

    return Slack


def _vault(file: str) -> type[_Handler]:
    lease = {"client_token": "drill", "accessor": "drill", "lease_duration": 3600, "renewable": True}
    version = {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}
    secret = {"data": {"bot_token": "drill", "channel": "#drill"}, "metadata": {"version": 1, **version}}

    class Vault(_Handler):
        def content(self) -> bytes:
            if _number(Path(file)) != 1:
                self.code = 503
                return b'{"errors":["Vault is sealed"]}'
            if "/metadata/" in self.path:
                body: dict[str, Any] = {"data": {"current_version": 1, "versions": {"1": version}}}
            else:
                body = {"data": secret} if "/data/" in self.path else {"auth": lease}
            return json.dumps(body).encode()

    return Vault


def make_server(kind: str, port: int, *arguments: str) -> socketserver.BaseServer:
    """Return a server that listens. Raises OSError, KeyError for a kind that does not exist."""
    makers: dict[str, Any] = {
        "http": _slow,
        "tls": lambda *_: _Handler,
        "api": _api,
        "vault": _vault,
        "slack": _slack,
    }
    server = _Server((HOST, port), makers[kind](*arguments))
    if kind == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*arguments)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


if __name__ == "__main__":
    make_server(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]).serve_forever(0.1)
