"""What has to go well before systemd's watchdog is told that the exporter works: a scrape, and a new connection."""

from collections.abc import Awaitable, Callable

from exporter.collectors.runner import SUCCESS
from exporter.server import alive
from exporter.server.listener import Server
from exporter.server.notify import Notifier

_SUCCESS_ROWS = f"# HELP {SUCCESS.name} ".encode()


def is_well(page: bytes) -> bool:
    """Whether a collector succeeded, where the page has any."""
    rows = page[page.rfind(_SUCCESS_ROWS) :] if _SUCCESS_ROWS in page else b""
    return b'"} 1\n' in rows or b'"} 0\n' not in rows


async def prove(
    notifier: Notifier, page: Callable[[float], Awaitable[bytes]], server: Server, status: Callable[[], str]
) -> None:
    """Prove that the exporter works for as long as it does; `page` returns the page within so many seconds.

    A collector that hangs is no reason to begin anew: it costs its own rows, and a new process would hang the same way.
    """
    patience, listeners = notifier.watchdog_seconds, server.listening_sockets
    if patience is None or not listeners:
        return
    seconds = patience * alive.WITHIN / 2

    async def scrape() -> None:
        if not is_well(await page(seconds)):
            raise alive.NotWellError("every collector fails in a scrape of ourselves")

    async def accept() -> None:
        await alive.connect(listeners, server.accepted)

    await alive.prove(notifier, (scrape, accept), status)
