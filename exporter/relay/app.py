"""The relay's paths: webhook, page, API, metrics, health."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.relay import looks, wording
from exporter.relay.message import render
from exporter.relay.metrics import Metrics
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.settings import Relay
from exporter.relay.storage import Shown, StoreFullError
from exporter.relay.webhook import Webhook

TEMPLATES: Final = Path(__file__).parent / "templates"
PAGE_MESSAGES: Final = 50
MAX_MESSAGES: Final = 500
REFRESH_SECONDS: Final = 5

_ERRORS: Final = {
    404: "404: no such page. There are / /api/v1/messages /metrics /-/healthy /-/ready; POST goes to /alertmanager.",
    405: "405: this method is not for this path. Alertmanager sends POST to /alertmanager; all else is read with GET.",
}


class Parts(msgspec.Struct, frozen=True):
    """What the paths need of the relay."""

    settings: Relay
    queue: DurableQueue
    metrics: Metrics
    webhook: Webhook
    delivering: Callable[[], bool]
    clock: Callable[[], float] = time.time


def make_app(parts: Parts) -> Starlette:
    """Return the ASGI application."""
    pages = _Pages(parts)
    routes = [
        Route("/alertmanager", parts.webhook.post, methods=["POST"]),
        Route("/", pages.index),
        Route("/api/v1/messages", pages.messages),
        Route("/metrics", pages.metrics),
        Route("/-/healthy", pages.healthy),
        Route("/-/ready", pages.ready),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: _http_error,
        StoreError: _no_answer,
        StoreFullError: _no_answer,
        TimeoutError: _no_answer,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


async def _http_error(_request: Request, err: Exception) -> Response:
    code, headers = (err.status_code, err.headers) if isinstance(err, HTTPException) else (500, None)
    return PlainTextResponse(_ERRORS.get(code, f"{code}") + "\n", code, headers)


async def _no_answer(_request: Request, err: Exception) -> Response:
    return PlainTextResponse(f"503: the database does not answer. {err}\n", 503, {"Retry-After": "5"})


class _Pages:
    """Everything that is read from the relay."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        loader = jinja2.FileSystemLoader(TEMPLATES)
        self._templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        style = (TEMPLATES / "relay.css").read_text()
        self._style = Markup(style)  # noqa: S704 -- our own file
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._headers = {
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }

    async def index(self, request: Request) -> Response:
        """Show the newest messages as they would look in Slack, and the state of the queue."""
        shown = await self._recent(PAGE_MESSAGES)
        now = self._parts.clock()
        html = self._templates.get_template("messages.html").render(
            style=self._style,
            version=__version__,
            refresh=0 if request.query_params.get("refresh") == "off" else REFRESH_SECONDS,
            messages=[_card(one, now, self._parts.settings.external_url) for one in shown],
            state=self._state(now),
            ready=self._faults() == [],
            faults=self._faults(),
            now=_clock_text(now),
            listen=self._parts.settings.listen,
        )
        return Response(html, media_type="text/html", headers=self._headers)

    async def messages(self, request: Request) -> Response:
        """Return the newest messages as JSON; `limit` says how many."""
        text = request.query_params.get("limit", str(PAGE_MESSAGES))
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_MESSAGES):
            return JSONResponse({"error": f"limit: expected a number from 1 to {MAX_MESSAGES}"}, 400)
        shown = await self._recent(int(text))
        rows = [_row(one, self._parts.settings.external_url) for one in shown]
        return JSONResponse({"mode": "preview", "messages": rows}, headers={"Cache-Control": "no-store"})

    async def metrics(self, request: Request) -> Response:
        """Return the relay's own metrics."""
        body, content_type = self._parts.metrics.page(request.headers.get("accept"))
        return Response(body, headers={"Content-Type": content_type})

    async def healthy(self, _request: Request) -> Response:
        """Say that the process answers."""
        return PlainTextResponse("healthy\n")

    async def ready(self, _request: Request) -> Response:
        """Say whether webhooks can be stored and are delivered."""
        faults = self._faults()
        return PlainTextResponse("\n".join(faults or ["ready"]) + "\n", 503 if faults else 200)

    def _faults(self) -> list[str]:
        parts, stats = self._parts, self._parts.queue.stats
        tests = (
            (parts.queue.writable, "the database cannot be written"),
            (stats.depth < parts.settings.limits.queue_snapshots, "the queue is full"),
            (parts.delivering(), "the delivery has ended"),
        )
        return [text for good, text in tests if not good]

    async def _recent(self, limit: int) -> list[Shown]:
        return await asyncio.wait_for(asyncio.wrap_future(self._parts.queue.recent(limit)), 5)

    def _state(self, now: float) -> list[tuple[str, str, bool]]:
        """Return what the page says about the queue: name, value, whether it wants attention."""
        stats = self._parts.queue.stats
        age = now - stats.oldest_received if stats.oldest_received is not None else 0.0
        return [
            ("Firing", str(stats.firing), False),
            ("Waiting", f"{stats.depth} of {self._parts.settings.limits.queue_snapshots}", age > 60),
            ("Waits longest", wording.duration(age) if stats.depth else "nothing waits", age > 60),
            ("Dead letters", str(stats.dead_letters), stats.dead_letters > 0),
        ]


def _clock_text(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%-d %b %Y, %H:%M:%S} UTC"


def _row(shown: Shown, relay_url: str | None) -> dict[str, Any]:
    """Return one message for programs."""
    episode, message = shown.episode, render(shown.episode, relay_url)
    return {
        "id": shown.id,
        "group_key": episode.group_key,
        "receiver": episode.receiver,
        "episode": episode.number,
        "status": episode.status,
        "alert_names": sorted({alert.name for alert in episode.alerts}),
        "labels": dict(episode.group_labels),
        "alerts": [
            {
                "status": alert.status,
                "labels": dict(alert.labels),
                "starts_at": alert.starts_at,
                "ends_at": alert.ends_at if alert.status == "resolved" else None,
            }
            for alert in episode.alerts
        ],
        "received_first": _rfc3339(shown.received_first),
        "received": _rfc3339(shown.received_last),
        "updates": shown.updates,
        "text": message.text,
        "message": message.payload(),
    }


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _card(shown: Shown, now: float, relay_url: str | None) -> dict[str, Any]:
    """Return one message for the page."""
    message = render(shown.episode, relay_url)
    return {
        "headline": looks.mrkdwn(message.text),
        "blocks": looks.blocks(message.payload()),
        "tone": message.tone,
        "id": shown.id,
        "group_key": shown.episode.group_key,
        "receiver": shown.episode.receiver,
        "time": _clock_text(shown.received_last),
        "ago": wording.duration(now - shown.received_last),
        "updates": shown.updates,
        "episode": shown.episode.number,
    }
