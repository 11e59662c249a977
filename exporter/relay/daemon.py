"""`hostwatch relay`: settings in, running relay out."""

import asyncio
import contextlib
import os
import socket
from functools import partial
from pathlib import Path
from typing import Final

from exporter import __version__, logs
from exporter.relay.app import Parts, make_app
from exporter.relay.calls import Caller
from exporter.relay.credentials import FileSource, Source
from exporter.relay.delivery import Delivery
from exporter.relay.hardening import harden
from exporter.relay.metrics import Metrics
from exporter.relay.preview import Preview
from exporter.relay.queue import DurableQueue, QueueError
from exporter.relay.server import ListenError, listen, make_server, stop_on_signals
from exporter.relay.settings import Relay
from exporter.relay.slack import Slack
from exporter.relay.token import Token, TokenError
from exporter.relay.webhook import Webhook

_log = logs.Log("exporter.relay.daemon")

# how long the end waits for calls to Slack: within the 2 seconds in which SIGTERM ends the relay
FINISH_SECONDS: Final = 1.0


def run(settings: Relay) -> int:
    """Run the relay until SIGTERM or SIGINT. Blocks; needs the main thread.

    Returns the exit code: 0 after a signal, 1 if the port or the database cannot be had, 2 if the token file
    cannot be used. Each such error is logged as one event.
    """
    logs.setup(settings.log.format, settings.log.level)
    harden()
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


def _make_delivery(settings: Relay, queue: DurableQueue, metrics: Metrics) -> tuple[Delivery, Source | None]:
    """Return the delivery, and where its tokens come from; no source means preview."""
    slack = Slack(settings.slack.api_url, settings.slack.timeout)
    source = _make_source(settings, slack, metrics)
    if source is None:
        preview = Preview(settings.external_url, metrics.previewed.inc)
        return Delivery(queue, settings.slack, preview), None
    caller = Caller(slack, settings.slack, settings.external_url)
    return Delivery(queue, settings.slack, lambda _work, _told: None, source=source, call=caller), source


def _make_source(settings: Relay, slack: Slack, metrics: Metrics) -> Source | None:
    first_wait = settings.slack.retry_after
    if settings.vault is not None:
        # hvac is 20 MB that a relay without Vault does not need
        from exporter.relay.vault import VaultApi  # noqa: PLC0415
        from exporter.relay.vault_metrics import VaultMetrics  # noqa: PLC0415
        from exporter.relay.vault_source import VaultSource  # noqa: PLC0415

        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        api, credentials = VaultApi(settings.vault), Path(folder) if folder else None
        source = VaultSource(settings.vault, slack.auth_test, api, credentials=credentials, first_wait=first_wait)
        metrics.registry.register(VaultMetrics(source))
        return source
    if settings.slack.token_file is None:
        return None
    return FileSource(Path(settings.slack.token_file), slack.auth_test, first_wait=first_wait)


async def _serve(settings: Relay, token: Token, queue: DurableQueue, server_socket: socket.socket) -> None:
    """Run intake, delivery and pages until a signal comes."""
    metrics = Metrics()
    worker, source = _make_delivery(settings, queue, metrics)
    metrics.watch(queue, settings.limits, failed=lambda: worker.state.failed, token_ok=lambda: token.last_read_ok)
    if source is not None:
        source.on_change = partial(_wake_from_thread, asyncio.get_running_loop(), worker)
        source.start()
    webhook = Webhook(settings, token, queue, metrics, on_stored=worker.wake)
    delivery = asyncio.create_task(worker.run(), name="delivery")
    parts = Parts(
        settings=settings, queue=queue, metrics=metrics, webhook=webhook, delivering=lambda: not delivery.done()
    )
    server = make_server(webhook.before(make_app(parts)), settings.http)
    stop_on_signals(server)
    # a worker that ended would let the queue grow in silence
    delivery.add_done_callback(lambda _: server.stop())
    host, port = server_socket.getsockname()[:2]
    _log.info(
        "relay listens",
        address=host,
        port=port,
        mode="slack" if worker.live else "preview",
        database=settings.database,
        version=__version__,
    )
    try:
        await server.serve(sockets=[server_socket])
    finally:
        if not delivery.done():
            await worker.finish(FINISH_SECONDS)
        await _end(delivery)
        worker.stop()
        if source is not None:
            source.stop()


def _wake_from_thread(loop: asyncio.AbstractEventLoop, worker: Delivery) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
        loop.call_soon_threadsafe(worker.wake)


async def _end(delivery: "asyncio.Task[None]") -> None:
    """Stop the delivery; raises what it died of."""
    delivery.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await delivery


def _close(queue: DurableQueue) -> None:
    if not queue.close():
        _log.warning("database not closed in time, nothing is lost")
