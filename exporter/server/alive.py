"""The proof of life that systemd's watchdog waits for: told only after everything that serves has just served."""

import asyncio
import errno
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
# connect(2) to an address of ourselves that no interface has, or where none is up
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.ENETUNREACH})


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


async def connect(listeners: Sequence[socket.socket], accepted: asyncio.Event) -> None:
    """Return once the server has accepted a connection, which sets `accepted`: one that we make, and close.

    Nothing is said on it, so that neither TLS nor passwords matter. Returns where there is no way to ask, too. Raises
    OSError where a connection cannot be made.
    """
    accepted.clear()
    client = await reach(listeners)
    if client is not None:
        with client:
            await accepted.wait()


async def reach(listeners: Sequence[socket.socket]) -> socket.socket | None:
    """Return a connection to one of the sockets that listen, from this machine to itself.

    None where it has none of their addresses: one without IPv6 on its loopback device (disable_ipv6) can listen on `::`
    all the same, and to have no way to ask says nothing about the server. Raises OSError where a connection is refused.
    """
    for family, address in (pair for listener in listeners for pair in own_addresses(listener)):
        client = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(client, address)
        except OSError as err:
            client.close()
            if err.errno not in _NOT_HERE:
                raise
        except BaseException:
            client.close()
            raise
        else:
            return client
    return None


def own_addresses(listener: socket.socket) -> list[tuple[int, tuple[str, int]]]:
    """Return family and address by which this machine itself reaches a socket that listens, the usual one first.

    That of an IPv6 address has what tells the interface. One that listens on `::` takes IPv4 as well, unless it was
    told not to.
    """
    host, *rest = listener.getsockname()
    if host == "0.0.0.0":  # noqa: S104 -- compared with, not bound to
        return [(listener.family, ("127.0.0.1", *rest))]
    if host != "::":
        return [(listener.family, (host, *rest))]
    found = [(int(listener.family), ("::1", *rest))]
    if not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        found.insert(0, (socket.AF_INET, ("127.0.0.1", rest[0])))
    return found
