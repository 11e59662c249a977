"""Everything that is read from the relay: the page for people, messages and status for programs, health."""

import asyncio
import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from exporter import __version__
from exporter.relay import looks, wording
from exporter.relay.lights import lights_of
from exporter.relay.lines import Line
from exporter.relay.message import render
from exporter.relay.parts import Parts
from exporter.relay.status import Status, rfc3339, status_of
from exporter.relay.storage import Shown

TEMPLATES: Final = Path(__file__).parent / "templates"
PAGE_MESSAGES: Final = 50
MAX_MESSAGES: Final = 500
# replies of one thread that the page shows, the newest; the API shows all
PAGE_LINES: Final = 8
REFRESH_SECONDS: Final = 5
DATABASE_SECONDS: Final = 5.0


class Pages:
    """The handlers."""

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
        """Show the newest messages as they look in Slack, and how the relay is doing."""
        shown, status, now = await self._recent(PAGE_MESSAGES), status_of(self._parts), self._parts.clock()
        relay_url = self._parts.settings.external_url
        html = self._templates.get_template("messages.html").render(
            style=self._style,
            version=__version__,
            refresh=0 if request.query_params.get("refresh") == "off" else REFRESH_SECONDS,
            mode=status.mode,
            messages=[_card(one, now, relay_url, status.mode) for one in shown],
            numbers=_numbers(status),
            lights=lights_of(status),
            faults=status.faults,
            now=_clock_text(now),
            listen=self._parts.settings.listen,
        )
        return Response(html, media_type="text/html", headers=self._headers)

    async def messages(self, request: Request) -> Response:
        """Return the newest messages as JSON; `limit` says how many, `group` of which group key."""
        text = request.query_params.get("limit", str(PAGE_MESSAGES))
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_MESSAGES):
            return JSONResponse({"error": f"limit: expected a number from 1 to {MAX_MESSAGES}"}, 400)
        group, mode = request.query_params.get("group"), status_of(self._parts).mode
        shown = [one for one in await self._recent(int(text)) if group in (None, one.episode.group_key)]
        rows = [_row(one, self._parts.settings.external_url) for one in shown]
        return JSONResponse({"mode": mode, "messages": rows}, headers={"Cache-Control": "no-store"})

    async def status(self, _request: Request) -> Response:
        """Return how the relay is doing, as JSON."""
        body = msgspec.json.encode(status_of(self._parts))
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def healthy(self, _request: Request) -> Response:
        """Say that the process answers."""
        return PlainTextResponse("healthy\n")

    async def ready(self, _request: Request) -> Response:
        """Say whether webhooks can be stored and reach Slack."""
        faults = status_of(self._parts).faults
        return PlainTextResponse("\n".join(faults or ["ready"]) + "\n", 503 if faults else 200)

    async def _recent(self, limit: int) -> list[Shown]:
        return await asyncio.wait_for(asyncio.wrap_future(self._parts.queue.recent(limit)), DATABASE_SECONDS)


def _numbers(status: Status) -> list[tuple[str, str, str, bool]]:
    """Return what the page says in large: name, value, what it is made of, whether it wants attention."""
    queue = status.queue
    age = queue.oldest_seconds or 0.0
    parts = ((queue.snapshots, "snapshot"), (queue.messages, "message"), (queue.threads, "thread"))
    waiting = ", ".join(_count(number, what) for number, what in parts if number)
    return [
        ("Firing", str(queue.firing), "", False),
        ("Waiting", str(queue.depth), waiting or f"of at most {queue.limit}", age > 60),
        ("Waits longest", wording.duration(age) if queue.depth else "nothing waits", "", age > 60),
        ("Dead letters", str(queue.dead_letters), "", queue.dead_letters > 0),
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _clock_text(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%-d %b %Y, %H:%M:%S} UTC"


def _thread(shown: Shown) -> tuple[Line, ...]:
    """Return the lines of a thread as Slack shows them: its beginning alone is no line, the message says it."""
    return () if [line.kind for line in shown.lines] == ["opened"] else shown.lines


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
        "received_first": rfc3339(shown.received_first),
        "received": rfc3339(shown.received_last),
        "updates": shown.updates,
        "delivered": shown.delivered,
        "channel": shown.destination,
        "text": message.text,
        "message": message.payload(),
        "thread": [{"kind": line.kind, "text": line.text} for line in _thread(shown)],
    }


def _card(shown: Shown, now: float, relay_url: str | None, mode: str) -> dict[str, Any]:
    """Return one message for the page."""
    message, thread = render(shown.episode, relay_url), _thread(shown)
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
        "thread": [_reply(line) for line in thread[-PAGE_LINES:]],
        "earlier": max(0, len(thread) - PAGE_LINES),
        **_whereabouts(shown, mode),
    }


def _reply(line: Line) -> dict[str, Any]:
    return {
        "when": f"{datetime.fromtimestamp(line.moment / 1e9, UTC):%-d %b, %H:%M} UTC" if line.moment > 0 else "",
        "html": looks.mrkdwn(line.text),
    }


def _whereabouts(shown: Shown, mode: str) -> dict[str, str]:
    """Say where a message is, in words and as a class of the page."""
    if shown.delivered:
        return {"where": f"in {shown.destination or 'Slack'}", "state": "there"}
    if mode == "preview":
        return {"where": "previewed, not sent", "state": "preview"}
    return {"where": f"waits for {shown.destination or 'Slack'}", "state": "waits"}
