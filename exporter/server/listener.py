"""The listening socket and its connections."""

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from exporter.logs import Log
from exporter.server.http import DateHeader, Handler
from exporter.server.protocol import Connection
from exporter.settings.exporter import Http

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.server.locks import Locks
    from exporter.server.secure import Handshakes

log = Log(__name__)

BUFFER: Final = 64 * 1024


class ListenError(Exception):
    """The address cannot be listened on; the text names it and what to do."""


class Server:
    """What the connections share: handler, limits, one receive buffer."""

    def __init__(self, handler: Handler, limits: Http, locks: "Locks | None" = None) -> None:
        self.limits = limits
        self._locks = locks
        self.serve(handler)
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(BUFFER))
        self.date = DateHeader()
        self.stopping = False
        self.accepted = asyncio.Event()
        """Set by each connection that is accepted, before it says a word."""
        self._connections: dict[Connection, None] = {}
        self._all_lost = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._handshakes: Handshakes | None = None

    def serve(self, handler: Handler) -> None:
        """Answer by this handler from now on, behind the locks if there are any."""
        self.handler = handler if self._locks is None else self._locks.before(handler)

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        """Whether a connection may speak at all."""
        return self._locks is None or self._locks.admits(transport)

    async def listen(self, host: str, port: int) -> int:
        """Listen on the address and return the port. Raises ListenError naming address and cause."""
        try:
            self._listener = await self.loop.create_server(
                self._noted(self._protocol()), host or None, port, backlog=1024, reuse_address=True
            )
        except (OSError, ValueError) as err:  # ValueError: a name that no resolver takes
            cause = getattr(err, "strerror", None) or str(err)
            raise ListenError(f"cannot listen on {host or '*'}:{port}: {cause}; another port: --listen") from err
        for sock in self._listener.sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return int(self.listening_sockets[0].getsockname()[1])

    @property
    def listening_sockets(self) -> tuple[socket.socket, ...]:
        """The sockets that listen, those of IPv4 first; none before and after."""
        sockets = () if self._listener is None else self._listener.sockets
        return tuple(sorted(sockets, key=lambda one: one.family != socket.AF_INET))

    def _noted(self, make: "Callable[[], asyncio.BufferedProtocol]") -> "Callable[[], asyncio.BufferedProtocol]":
        """Return `make`, which is called for each connection that is accepted, with a note of that."""

        def note_and_make() -> asyncio.BufferedProtocol:
            self.accepted.set()
            return make()

        return note_and_make

    def _protocol(self) -> "Callable[[], asyncio.BufferedProtocol]":
        """Return what makes the protocol of a new connection: HTTP, behind TLS where there is a certificate."""
        if self._locks is None or self._locks.context is None:
            return lambda: Connection(self)
        from exporter.server.secure import Handshakes, Secure  # noqa: PLC0415 -- OpenSSL costs 4 MB

        # half as many as connections, so that a process that may open 1024 files has some left
        handshakes = Handshakes(
            self._locks.newest_context, lambda: Connection(self), lambda: max(self.limits.max_connections // 2, 1)
        )
        self._handshakes = handshakes
        return lambda: Secure(handshakes)

    def has_few_clients(self) -> bool:
        """Whether so few connections are open that requests of one turn of the loop hardly ever come together."""
        return len(self._connections) <= 2

    def opened(self, connection: Connection) -> None:
        """Count a connection in; over the limit, the one that has been quiet longest makes room."""
        self._connections[connection] = None
        if len(self._connections) > self.limits.max_connections:
            quiet = next((c for c in self._connections if not c.busy), connection)
            del self._connections[quiet]
            quiet.drop()  # not `shut`: what it does not read would keep it, and connections without number

    def answered(self, connection: Connection) -> None:
        """Keep the connections in the order of their last answer, or opening."""
        self._connections[connection] = self._connections.pop(connection)

    def lost(self, connection: Connection) -> None:
        """Count a connection out."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._all_lost.set()

    async def stop(self, seconds: float) -> None:
        """Take no new connections, answer what is under way, and close all after `seconds` at most."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
        if self._handshakes is not None:
            self._handshakes.stop()
        for connection in tuple(self._connections):
            connection.shut()
        if self._connections:
            self._all_lost.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_lost.wait(), seconds)
