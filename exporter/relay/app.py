"""The relay's paths: webhook, page, API, metrics, health."""

from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from exporter.relay.control import Control
from exporter.relay.metrics import Metrics
from exporter.relay.pages import Pages
from exporter.relay.parts import Parts
from exporter.relay.queue import StoreError
from exporter.relay.storage import StoreFullError
from exporter.relay.webhook import PATH, Webhook

_ERRORS: Final = {
    404: "404: no such page. There are / /api/v1/messages /api/v1/status /metrics /-/healthy /-/ready;"
    " POST goes to /alertmanager.",
    405: "405: this method is not for this path. Alertmanager sends POST to /alertmanager; pages are read with GET.",
}


def make_app(parts: Parts, metrics: Metrics, webhook: Webhook) -> Starlette:
    """Return the ASGI application."""
    pages, control = Pages(parts), Control(parts, metrics)

    async def scrape(request: Request) -> Response:
        body, content_type = metrics.page(request.headers.get("accept"))
        return Response(body, headers={"Content-Type": content_type})

    routes = [
        Route(PATH, webhook.post, methods=["POST"]),
        Route("/", pages.index),
        Route("/api/v1/messages", pages.messages),
        Route("/api/v1/status", pages.status),
        Route("/api/v1/dead-letters", control.dead_letters),
        Route("/api/v1/dead-letters/ids", control.ids),
        Route("/api/v1/dead-letters/{letter:int}", control.dead_letter),
        Route("/api/v1/dead-letters/replay", control.replay, methods=["POST"]),
        Route("/api/v1/dead-letters/discard", control.discard, methods=["POST"]),
        Route("/api/v1/auth-test", control.auth_test, methods=["POST"]),
        Route("/metrics", scrape),
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
