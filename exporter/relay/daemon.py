"""`hostwatch relay`: settings in, running relay out."""

import asyncio
import contextlib
import socket
from pathlib import Path

from exporter import __version__, logs
from exporter.relay.app import Parts, make_app
from exporter.relay.metrics import Metrics
from exporter.relay.preview import Preview
from exporter.relay.queue import DurableQueue, QueueError
from exporter.relay.server import ListenError, listen, make_server, stop_on_signals
from exporter.relay.settings import Relay
from exporter.relay.token import Token, TokenError
from exporter.relay.webhook import Webhook

_log = logs.Log("exporter.relay.daemon")


def run(settings: Relay) -> int:
    """Run the relay until SIGTERM or SIGINT. Blocks; needs the main thread.

    Returns the exit code: 0 after a signal, 1 if the port or the database cannot be had, 2 if the token file
    cannot be used. Each such error is logged as one event.
    """
    logs.setup(settings.log.format, settings.log.level)
    if settings.token_file is None:
        _log.error("settings incomplete", error="token_file: not set; name the file that holds the webhook's token")
        return 2
    try:
        token = Token(Path(settings.token_file))
    except TokenError as err:
        _log.error("token file unusable", error=str(err))
        return 2
    try:
        with contextlib.ExitStack() as stack:
            server_socket = stack.enter_context(listen(settings.listen))
            queue = DurableQueue(Path(settings.database), settings.limits)
            stack.callback(_close, queue)
            asyncio.run(_serve(settings, token, queue, server_socket))
    except ListenError as err:
        _log.error("cannot listen", error=str(err))
        return 1
    except QueueError as err:
        _log.error("database unusable", error=str(err))
        return 1
    _log.info("relay stopped")
    return 0


async def _serve(settings: Relay, token: Token, queue: DurableQueue, server_socket: socket.socket) -> None:
    """Run intake, delivery and pages until a signal comes."""
    metrics = Metrics()
    worker = Preview(queue, settings.external_url, metrics.previewed.inc)
    metrics.watch(queue, settings.limits, failed=lambda: worker.failed, token_ok=lambda: token.last_read_ok)
    webhook = Webhook(settings, token, queue, metrics, on_stored=worker.wake)
    delivery = asyncio.create_task(worker.run(), name="delivery")
    parts = Parts(
        settings=settings, queue=queue, metrics=metrics, webhook=webhook, delivering=lambda: not delivery.done()
    )
    server = make_server(make_app(parts), settings.http)
    stop_on_signals(server)
    # a worker that ended would let the queue grow in silence
    delivery.add_done_callback(lambda _: server.stop())
    host, port = server_socket.getsockname()[:2]
    _log.info("relay listens", address=host, port=port, mode="preview", database=settings.database, version=__version__)
    try:
        await server.serve(sockets=[server_socket])
    finally:
        await _end(delivery)


async def _end(delivery: "asyncio.Task[None]") -> None:
    """Stop the delivery; raises what it died of."""
    delivery.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await delivery


def _close(queue: DurableQueue) -> None:
    if not queue.close():
        _log.warning("database not closed in time, nothing is lost")
