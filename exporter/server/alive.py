"""The proof of life that systemd's watchdog waits for: told only after everything that serves has just served."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from exporter.logs import Log
from exporter.server.notify import Notifier

log = Log(__name__)

# of systemd's patience: from one proof to the next, how long one may take, and until it is tried again
EVERY: Final = 1 / 2
WITHIN: Final = 1 / 3
AGAIN: Final = 1 / 10


class NotWellError(Exception):
    """Something that serves did not; the text says what."""


Check = Callable[[], Awaitable[None]]


async def prove(notifier: Notifier, checks: Sequence[Check], status: Callable[[], str]) -> None:
    """Tell systemd that this process works, after each round of checks in which none failed, until cancelled.

    A check raises NotWellError, or takes too long. `status` returns what systemd shows while all is well. Does
    nothing where systemd does not wait.
    """
    patience = notifier.watchdog_seconds
    if patience is None:
        return
    loop, well = asyncio.get_running_loop(), True
    while True:
        began = loop.time()
        problem = await _first_problem(checks, patience * WITHIN)
        if problem is None:
            notifier.alive()
        else:
            log.error("not well", problem=problem, restart_in_seconds=patience)
        if well != (problem is None):
            well = not well
            notifier.status(status() if problem is None else f"Not well: {problem}")
        pause = patience * (EVERY if problem is None else AGAIN)
        await asyncio.sleep(max(pause - (loop.time() - began), pause / 2))


async def _first_problem(checks: Sequence[Check], seconds: float) -> str | None:
    """Return why the first of the checks failed, None if none did within the time for all."""
    try:
        async with asyncio.timeout(seconds):
            for check in checks:
                await check()
    except NotWellError as err:
        return str(err)
    except TimeoutError:
        return f"no answer within {seconds:.1f} s"
    except OSError as err:
        return err.strerror or str(err)
    return None


async def connect(listener: socket.socket, accepted: asyncio.Event) -> None:
    """Return once the server has accepted a connection, which sets `accepted`: one that we make, and close.

    Nothing is said on it, so that neither TLS nor passwords matter. Raises OSError where it cannot be made.
    """
    accepted.clear()
    with socket.socket(listener.family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as client:
        await asyncio.get_running_loop().sock_connect(client, own_address(listener))
        await accepted.wait()


def own_address(listener: socket.socket) -> tuple[str, int]:
    """Return where this machine itself reaches a socket that listens; of IPv6 with what tells the interface."""
    host, *rest = listener.getsockname()
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- compared with, not bound to
    return (everywhere.get(host, host), *rest)
