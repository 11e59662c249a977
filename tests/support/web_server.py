"""The HTTP server under every fake of these tests: on a port of its own, on threads, gone at the end of its block."""

import http.server
import ssl
import threading
from typing import Any, Self


class WebServer(http.server.ThreadingHTTPServer):
    """Listens from the beginning, answers within its `with` block, or between start() and stop()."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        handler: type[http.server.BaseHTTPRequestHandler],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take any free port where none is named. Raises OSError when the port is taken."""
        super().__init__((host, port), handler)
        self.port = int(self.server_address[1])
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        if tls is not None:
            # the handshake is the handler's: one that hangs does not hold up the others
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and listen no more; one that never started closes alone."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join(10)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


def tls_of(certificate: Any, key: Any) -> ssl.SSLContext:
    """Return what a server needs to show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
