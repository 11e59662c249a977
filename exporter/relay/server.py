"""The relay's HTTP server: uvicorn in this process, on a socket of ours, ended by SIGTERM without a trace of it."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from exporter.relay.protocol import limited
from exporter.relay.settings import RelayHttp
from exporter.settings import parse_address


class ListenError(Exception):
    """The address cannot be listened on; the text names it and says what to do."""


def listen(address: str) -> socket.socket:
    """Return a socket that listens on `ADDRESS:PORT`; an empty address means all, of both IP versions.

    Raises ListenError.
    """
    host, port = parse_address(address)
    try:
        server = _bind(host, port)
        # asyncio sets this for sockets that say which protocol they are of, and those of create_server do not: without
        # it an answer in two pieces waits 40 ms for the client's acknowledgement (tcp(7)). Connections inherit it.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as err:
        fix = "; another program uses this port: end it, or choose another with --listen" if err.errno == 98 else ""
        raise ListenError(f"cannot listen on {address}, port {port}: {err.strerror or err}{fix}") from err
    return server


def _bind(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    family, _, _, _, where = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(where[:2], family=family, backlog=1024)


class Server(uvicorn.Server):
    """uvicorn's server, which leaves signals alone: at its end it would raise them again."""

    on_started: Callable[[], None] | None = None
    """Called once it takes connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        if self.started and self.on_started is not None:
            self.on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def stop(self) -> None:
        """End soon: what is being answered gets a second."""
        self.should_exit = True


def make_server(app: ASGIApp, http: RelayHttp) -> Server:
    """Return a server for `app` with the limits of the settings."""
    # its words about clients that send no HTTP are anybody's to provoke
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=limited(http),
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=max(1, round(http.idle_timeout)),
        timeout_graceful_shutdown=1,
    )
    return Server(config)


def stop_on_signals(server: Server) -> None:
    """End the server on SIGTERM and SIGINT. Only where signals can be had: the main thread."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(RuntimeError, ValueError):
            loop.add_signal_handler(number, server.stop)
