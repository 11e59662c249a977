"""How a server is reached: in the open, or through TLS with a password, here or in a network of its own."""

import contextlib
import socket
import ssl
import struct
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from bench.network import Network

HOST: Final = "127.0.0.1"
TIMEOUT_SECONDS: Final = 10

_ACCEPT: Final = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@dataclass(frozen=True)
class Access:
    """What a client needs beside the port."""

    authorization: str = field(default="", repr=False)
    """The header's value; empty without a password."""
    tls: ssl.SSLContext | None = None
    network: Network | None = None

    def place(self) -> AbstractContextManager[None]:
        """Return a context in which sockets and processes of this thread belong to the server's network."""
        return contextlib.nullcontext() if self.network is None else self.network.inside()

    def connect(self, port: int) -> socket.socket:
        """Return a new connection, with TLS where there is TLS; blocks. Raises OSError."""
        with self.place():
            connection = socket.create_connection((HOST, port), TIMEOUT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_hostname=HOST)
        # a limit in the kernel: Python's own would cost a poll() around every call
        connection.settimeout(None)
        limit = struct.pack("ll", TIMEOUT_SECONDS, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        return connection

    def request(self, port: int) -> bytes:
        """Return the request that Prometheus 2.42 sends, header by header in its order."""
        lines = [
            "GET /metrics HTTP/1.1",
            f"Host: {HOST}:{port}",
            "User-Agent: Prometheus/2.42.0",
            f"Accept: {_ACCEPT}",
            "Accept-Encoding: gzip",
        ]
        if self.authorization:
            lines.append(f"Authorization: {self.authorization}")
        lines.append(f"X-Prometheus-Scrape-Timeout-Seconds: {TIMEOUT_SECONDS}")
        return "\r\n".join((*lines, "", "")).encode()


OPEN: Final = Access()
