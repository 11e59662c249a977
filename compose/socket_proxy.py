"""A proxy that lets a few questions through to a Docker Engine's socket and nothing else.

Who may use that socket is as mighty as root. The exporter needs four GETs of it (docs/containers.md); this process,
which has no network, is the only one in the stack that holds the socket. Answers are handed on as they come, so that
the stream of events is one. `python -m compose.socket_proxy ENGINE LISTEN`.
"""

import asyncio
import contextlib
import re
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from exporter.logs import Log, setup

MAX_HEAD: Final = 8192
MAX_CONNECTIONS: Final = 32
HEAD_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
# the exporter asks for streams of five minutes
EVENT_SECONDS: Final = 660.0
_CHUNK: Final = 65536

_VALUE: Final = r"[A-Za-z0-9_.:%,-]{0,1024}"
# one form for each question; anything that another reader could take for a second path does not fit (no //, no %2f)
_ALLOWED: Final = re.compile(
    rf"""(?:/v1\.[0-9]{{1,3}})?
    (?: /_ping
      | /containers/json (?:\?(?:all|limit|filters)={_VALUE} (?:&(?:all|limit|filters)={_VALUE}){{0,2}})?
      | /containers/[A-Za-z0-9][A-Za-z0-9_.-]{{0,127}}/json
      | (?P<events>/events) (?:\?(?:since|until|filters)={_VALUE} (?:&(?:since|until|filters)={_VALUE}){{0,2}})?
    )""",
    re.VERBOSE | re.ASCII,
)
_log = Log("compose.socket_proxy")


class RefusedError(Exception):
    """A request that is not let through, with the status that says so."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status


def parse_head(head: bytes) -> str:
    """Return the target of a request that may pass. Raises RefusedError for any other.

    A body is refused too: what follows a GET that is handed on must not be read as a second request.
    """
    line, *headers = head.split(b"\r\n")
    parts = line.decode("latin-1").split(" ")
    if len(parts) != 3 or parts[2] not in {"HTTP/1.1", "HTTP/1.0"}:
        raise RefusedError("400 Bad Request", "no request")
    method, target, _ = parts
    if method != "GET":
        raise RefusedError("405 Method Not Allowed", "only GET passes here")
    names = {header.partition(b":")[0].strip().lower() for header in headers}
    if names & {b"content-length", b"transfer-encoding", b"upgrade"}:
        raise RefusedError("400 Bad Request", "no body and no upgrade passes here")
    if not _ALLOWED.fullmatch(target):
        raise RefusedError("403 Forbidden", "only /_ping, /containers/json, /containers/ID/json and /events pass here")
    return target


def is_stream(target: str) -> bool:
    """Say whether a target that may pass is answered without an end."""
    found = _ALLOWED.fullmatch(target)
    return bool(found and found["events"])


class Proxy:
    """Hands requests from one Unix socket to another; each on a connection of its own on both sides."""

    def __init__(self, engine: str) -> None:
        """Take the engine's socket; it is connected to for each request, so a restarted engine is found again."""
        self._engine = engine
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        self._open += 1
        try:
            await self._answer(reader, writer)
        except RefusedError as err:
            await _refuse(writer, err.status, str(err))
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as err:
            _log.debug("connection ended", error=str(err))
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open > 2 * MAX_CONNECTIONS:
            return
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        if self._open > MAX_CONNECTIONS:
            raise RefusedError("503 Service Unavailable", "too many connections")
        target = parse_head(head[:-4])
        try:
            theirs = await asyncio.open_unix_connection(self._engine, limit=MAX_HEAD)
        except OSError as err:
            _log.warning("engine unreachable", socket=self._engine, error=err.strerror)
            raise RefusedError("502 Bad Gateway", f"the engine cannot be reached: {err.strerror}") from err
        try:
            theirs[1].write(f"GET {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(EVENT_SECONDS if is_stream(target) else ANSWER_SECONDS):
                await _until_one_ends(_pass_on(theirs[0], writer), _wait_for_end(reader))
        finally:
            theirs[1].close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Hand on bytes as they come, until their end."""
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()


async def _wait_for_end(reader: asyncio.StreamReader) -> None:
    """Wait until the client has gone; what it still sends is dropped, for it can be no second request."""
    while await reader.read(_CHUNK):
        pass


async def _until_one_ends(*what: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(one) for one in what]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _refuse(writer: asyncio.StreamWriter, status: str, why: str) -> None:
    body = f'{{"message":"{why}"}}\n'.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
    with contextlib.suppress(OSError):
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()


def _listen(path: str) -> socket.socket:
    """Return a listening socket in place of what a killed one left. Raises OSError."""
    Path(path).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    # whoever has the volume may ask: that is the exporter alone, whose user is not ours
    Path(path).chmod(0o666)
    listening.listen(MAX_CONNECTIONS)
    return listening


async def run(engine: str, listen: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await asyncio.start_unix_server(Proxy(engine).serve, sock=_listen(listen), limit=MAX_HEAD)
    _log.info("proxy listens", socket=listen, engine=engine)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    setup()
    asyncio.run(run(*sys.argv[1:3]))
