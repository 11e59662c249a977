"""What has to go well before systemd's watchdog is told that the relay works: its database, and its own web page."""

import asyncio
import socket
import sqlite3
from collections.abc import Callable
from typing import Final

from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.storage import StoreFullError
from exporter.server import alive
from exporter.server.notify import Notifier

_REQUEST: Final = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_ANSWER: Final = b"HTTP/1.1 200 "


async def prove(notifier: Notifier, queue: DurableQueue, listener: socket.socket, status: Callable[[], str]) -> None:
    """Prove that the relay works for as long as it does. Slack's and Vault's failures are no reason to begin anew."""

    async def read() -> None:
        try:
            await asyncio.wrap_future(queue.run(_read))
        except (StoreError, StoreFullError) as err:
            raise alive.NotWellError(str(err)) from err

    async def answer() -> None:
        await ask(listener)

    await alive.prove(notifier, (read, answer), status)


def _read(db: sqlite3.Connection) -> None:
    db.execute("SELECT count(*) FROM moments").fetchone()


async def ask(listener: socket.socket) -> None:
    """Ask the server behind a socket that listens how it is. Raises NotWellError, or OSError where it takes none.

    Returns where this machine has no way to ask, too.
    """
    client = await alive.reach((listener,))
    if client is None:
        return
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        writer.write(_REQUEST)
        answer = await reader.readline()
    finally:
        writer.close()
    if not answer.startswith(_ANSWER):
        raise alive.NotWellError(f"the server answers {answer.strip()!r} to /-/healthy")
