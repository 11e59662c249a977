"""`hostwatch relay`: settings in, running relay out."""

import asyncio
import contextlib
import faulthandler
import os
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Final

from exporter import __version__, logs
from exporter.relay import proof
from exporter.relay.app import make_app
from exporter.relay.calls import Caller
from exporter.relay.credentials import FileSource, Source
from exporter.relay.delivery import Delivery
from exporter.relay.evidence import Evidence
from exporter.relay.gauges import State
from exporter.relay.hardening import harden
from exporter.relay.heartbeat import Heartbeat
from exporter.relay.metrics import Metrics
from exporter.relay.parts import Parts
from exporter.relay.preview import Preview
from exporter.relay.queue import DurableQueue, QueueError
from exporter.relay.reconcile import Reconciler
from exporter.relay.server import ListenError, listen, make_server, stop_on_signals
from exporter.relay.settings import Relay
from exporter.relay.slack import Slack
from exporter.relay.storage import Told, Work
from exporter.relay.token import Token, TokenError
from exporter.relay.watchdog import Watchdog
from exporter.relay.webhook import Webhook
from exporter.server.notify import Notifier

_log = logs.Log("exporter.relay.daemon")

# how long the end waits for calls to Slack: within the 2 seconds in which SIGTERM ends the relay
FINISH_SECONDS: Final = 1.0
# a part that failed by our own fault begins anew after so long
RESTART_SECONDS: Final = 10.0


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


def _make_parts(
    settings: Relay, token: Token, queue: DurableQueue, metrics: Metrics, delivering: Callable[[], bool]
) -> Parts:
    """Return all parts but those that listen; no source of tokens means preview."""
    slack = Slack(settings.slack.api_url, settings.slack.timeout)
    source = _make_source(settings, slack, metrics)
    preview = Preview(settings.external_url, metrics.previewed.inc) if source is None else None
    evidence = Evidence(settings.evidence, queue, live=source is not None)

    def tell(work: Work, told: Told) -> None:
        if preview is not None:
            preview(work, told)
        evidence(work, told)

    caller = Caller(slack, settings.slack, settings.external_url) if source is not None else None
    delivery = Delivery(queue, settings.slack, tell, source=source, call=caller)
    evidence.on_line = delivery.wake
    watchdog = Watchdog(settings.watchdog, queue, delivery.wake)
    return Parts(
        settings=settings,
        token=token,
        queue=queue,
        delivery=delivery,
        source=source,
        slack=slack,
        watchdog=watchdog,
        heartbeat=Heartbeat(settings.watchdog, watchdog, delivery.state, source, slack),
        evidence=evidence,
        reconciler=_make_reconciler(settings, queue, watchdog),
        delivering=delivering,
    )


def _make_reconciler(settings: Relay, queue: DurableQueue, watchdog: Watchdog) -> Reconciler | None:
    """Return what asks the Alertmanagers; it trusts them while the Watchdog comes, where that is expected."""
    if not settings.alertmanager_urls:
        return None

    def is_heard() -> bool:
        return watchdog.is_fresh or not watchdog.is_expected

    return Reconciler(settings.alertmanager_urls, settings.reconcile, queue, is_heard)


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
    parts = _make_parts(settings, token, queue, metrics, lambda: not delivery.done())
    worker, source = parts.delivery, parts.source
    metrics.watch(State(parts))
    if source is not None:
        source.on_change = partial(_wake_from_thread, asyncio.get_running_loop(), worker)
        source.start()
    if parts.reconciler is not None:
        parts.reconciler.on_stored = partial(_wake_from_thread, asyncio.get_running_loop(), worker)
        parts.reconciler.start()
    webhook = Webhook(settings, token, queue, metrics, on_stored=worker.wake, watchdog=parts.watchdog)
    delivery = asyncio.create_task(worker.run(), name="delivery")
    others = [
        asyncio.create_task(_watched("watchdog", parts.watchdog.run)),
        asyncio.create_task(_watched("heartbeat", parts.heartbeat.run)),
    ]
    server = make_server(webhook.before(make_app(parts, metrics, webhook)), settings.http)
    stop_on_signals(server)
    notifier, status = Notifier(), f"Takes webhooks on {settings.listen}"
    server.on_started = partial(notifier.ready, status)
    if notifier.watchdog_seconds is not None:
        faulthandler.enable()  # systemd ends a process that hangs by SIGABRT: the journal then shows where it hung
    others.append(asyncio.create_task(proof.prove(notifier, queue, server_socket, lambda: status)))
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
        notifier.stopping()
        if not delivery.done():
            await worker.finish(FINISH_SECONDS)
        for task in others:
            task.cancel()
        parts.evidence.stop()
        parts.heartbeat.stop()
        if parts.reconciler is not None:
            parts.reconciler.stop()
        await _end(delivery)
        worker.stop()
        if source is not None:
            source.stop()


def _wake_from_thread(loop: asyncio.AbstractEventLoop, worker: Delivery) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
        loop.call_soon_threadsafe(worker.wake)


async def _watched(name: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a part for as long as the relay runs: our own fault in it is told, and it begins anew after a while."""
    ended = False
    while not ended:
        try:
            await run()
            ended = True
        except Exception as err:  # noqa: BLE001 -- the boundary of a part that nobody waits for
            _log.error("part failed", part=name, exc=err)
            await asyncio.sleep(RESTART_SECONDS)


async def _end(delivery: "asyncio.Task[None]") -> None:
    """Stop the delivery; raises what it died of."""
    delivery.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await delivery


def _close(queue: DurableQueue) -> None:
    if not queue.close():
        _log.warning("database not closed in time, nothing is lost")
