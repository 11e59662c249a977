"""What keeps systemd from hearing that the relay works."""

import asyncio
import concurrent.futures
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.relay import proof
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.settings import Limits
from exporter.relay.storage import StoreFullError
from exporter.server import alive
from exporter.server.notify import Notifier
from tests.support.notify_socket import Message, NotifySocket

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Broken:
    """A queue whose database does not do what it is asked."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def run(self, _: object) -> "concurrent.futures.Future[None]":
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        if self._error is not None:
            future.set_exception(self._error)
        return future


def first_told(folder: Path, queue: Any, answer: bytes = ANSWER) -> Message:
    """Return what systemd hears first of a relay with this queue, and this answer to every request."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def main() -> Message:
        server = await asyncio.start_server(reply, "127.0.0.1", 0)
        with NotifySocket(folder) as listener:
            notifier = Notifier({"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "300000"})
            task = asyncio.create_task(proof.prove(notifier, queue, server.sockets[0], lambda: "Takes webhooks"))
            found = await asyncio.to_thread(listener.take)
            task.cancel()
        server.close()
        return found

    return asyncio.run(main())


def closed() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.fixture
def queue(tmp_path: Path) -> Any:
    one = DurableQueue(tmp_path / "relay.db", Limits())
    yield one
    assert one.close()


def test_a_database_and_a_page_that_answer_are_enough(tmp_path: Path, queue: DurableQueue) -> None:
    assert first_told(tmp_path, queue) == {"WATCHDOG": "1"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("database: disk I/O error"), "database: disk I/O error"),
        (StoreFullError("4096 calls wait for the disk"), "4096 calls wait for the disk"),
        (None, "no answer within 0.1 s"),
    ],
    ids=["a failing disk", "too much waits", "a stuck disk"],
)
def test_a_database_that_does_not_answer(tmp_path: Path, error: Exception | None, said: str) -> None:
    assert first_told(tmp_path, Broken(error)) == {"STATUS": f"Not well: {said}"}


def test_a_page_that_fails(tmp_path: Path, queue: DurableQueue) -> None:
    told = first_told(tmp_path, queue, b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    assert told == {"STATUS": "Not well: the server answers b'HTTP/1.1 500 Internal Server Error' to /-/healthy"}


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: socket.create_server(("127.0.0.1", 0)), TimeoutError),
        (closed, ConnectionRefusedError),
    ],
    ids=["nobody accepts", "nobody listens"],
)
def test_a_server_that_is_not_there(make: Callable[[], socket.socket], error: type[Exception]) -> None:
    async def main() -> None:
        with make() as listener, pytest.raises(error):
            await asyncio.wait_for(proof.ask(listener), 0.05 if error is TimeoutError else 30)

    asyncio.run(main())


def test_an_answer_that_ends_early_is_none() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        with pytest.raises(alive.NotWellError, match="b''"):
            await asyncio.wait_for(proof.ask(server.sockets[0]), 30)
        server.close()

    asyncio.run(main())
