"""What may be done to a running relay, by those who hold the webhook's bearer token: dead letters, asking Slack."""

import asyncio
import time
from typing import Annotated, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from exporter.logs import Log
from exporter.relay import letters
from exporter.relay.parts import Parts
from exporter.relay.senders import Senders
from exporter.relay.slack import SlackError
from exporter.relay.storage import StoreFullError

_log = Log("exporter.relay.control")

MAX_BODY: Final = 65536
BODY_SECONDS: Final = 5.0
DATABASE_SECONDS: Final = 5.0
MAX_REPLAYED: Final = 1000

_JSON: Final = "application/json"


class Wanted(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which dead letters are to be tried again."""

    ids: Annotated[tuple[int, ...], msgspec.Meta(max_length=MAX_REPLAYED)] = ()
    all: bool = False


class Replayed(msgspec.Struct, frozen=True):
    """What became of one; `error` is empty where it worked."""

    id: int
    error: str = ""


class Control:
    """The paths below /api/v1 that want the token."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._senders = Senders(1, "auth-test")

    async def dead_letters(self, request: Request) -> Response:
        """List the dead letters."""
        if refused := self._refused(request):
            return refused
        found = await asyncio.wait_for(asyncio.wrap_future(self._parts.queue.run(letters.listed)), DATABASE_SECONDS)
        return _answer({"dead_letters": found})

    async def replay(self, request: Request) -> Response:
        """Try dead letters again: `{"ids": [1, 2]}` or `{"all": true}`."""
        if refused := self._refused(request):
            return refused
        try:
            wanted = msgspec.json.decode(await _body(request), type=Wanted)
        except (msgspec.DecodeError, ValueError, TimeoutError, ClientDisconnect) as err:
            return JSONResponse({"error": f"expected {{'ids': [1, 2]}} or {{'all': true}}: {err}"}, 400)
        queue = self._parts.queue
        ids = wanted.ids
        if wanted.all:
            ids = tuple(await asyncio.wait_for(asyncio.wrap_future(queue.run(letters.ids)), DATABASE_SECONDS))
        done = [await self._replay(one) for one in ids]
        _log.info("dead letters replayed", ids=list(ids), failed=sum(bool(one.error) for one in done))
        self._parts.delivery.wake()
        return _answer({"replayed": done})

    async def _replay(self, letter: int) -> Replayed:
        now, limit = self._parts.clock(), self._parts.settings.limits.queue_snapshots
        run = self._parts.queue.run(lambda db: letters.replay(db, letter, now, limit))
        try:
            return Replayed(letter, await asyncio.wait_for(asyncio.wrap_future(run), DATABASE_SECONDS))
        except StoreFullError as err:
            return Replayed(letter, f"the queue is full: {err}")

    async def auth_test(self, request: Request) -> Response:
        """Ask Slack whose token is in force."""
        if refused := self._refused(request):
            return refused
        credentials = self._parts.source.current() if self._parts.source is not None else None
        if credentials is None:
            return _answer({"ok": False, "error": "no_token"})
        if not self._senders.idle:
            return _answer({"ok": False, "error": "busy"})
        token, slack, began = credentials.token, self._parts.slack, time.monotonic()
        future: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()

        def ask() -> dict[str, object]:
            try:
                who = slack.auth_test(token)
            except SlackError as err:
                return {"ok": False, "error": err.code}
            return {"ok": True, "team": who.team, "user": who.user, "url": who.url}

        def done(result: dict[str, object] | Exception) -> None:
            if isinstance(result, Exception):  # never its text: it may hold what was sent
                result = {"ok": False, "error": type(result).__name__}
            if not future.done():
                future.set_result(result)

        self._senders.submit(ask, done)
        seconds = self._parts.settings.slack.timeout + 1
        answer = await asyncio.wait_for(future, seconds)
        return _answer({**answer, "seconds": round(time.monotonic() - began, 4)})

    def _refused(self, request: Request) -> Response | None:
        """Return the answer to whoever does not hold the token."""
        if self._parts.token.accepts(request.headers.get("authorization", "").encode("latin-1")):
            return None
        text = "the Authorization header does not carry what the relay's token_file holds"
        return JSONResponse({"error": text}, 401, {"WWW-Authenticate": 'Bearer realm="hostwatch relay"'})

    def stop(self) -> None:
        """Let the thread end once it is back; does not wait."""
        self._senders.stop()


def _answer(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type=_JSON, headers={"Cache-Control": "no-store"})


async def _body(request: Request) -> bytes:
    """Return a small body. Raises ValueError for a large one, TimeoutError for a slow one."""
    out = b""
    async with asyncio.timeout(BODY_SECONDS):
        async for chunk in request.stream():
            out += chunk
            if len(out) > MAX_BODY:
                raise ValueError(f"more than {MAX_BODY} bytes")
    return out
