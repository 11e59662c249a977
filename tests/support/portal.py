"""A way into a network namespace: python -m tests.support.portal FD PORT, started inside it.

FD is a socket that listens outside; each connection to it becomes one to PORT of the namespace's own 127.0.0.1.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.network import ROOT, Network


@contextmanager
def portal(inside: Network, port: int) -> Iterator[int]:
    """Yield a port of our own 127.0.0.1 behind which is that one of the namespace's."""
    with socket.create_server(("127.0.0.1", 0)) as outside:
        number = int(outside.getsockname()[1])
        command = inside.command(sys.executable, "-m", "tests.support.portal", str(outside.fileno()), str(port))
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=[outside.fileno()])
    try:
        yield number
    finally:
        process.terminate()
        process.wait(10)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(outside: socket.socket, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            beyond = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, beyond[1]), _copy(beyond[0], writer))

    async with await asyncio.start_server(connected, sock=outside) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
