"""What may be done to a running relay, by those who hold the webhook's bearer token: dead letters, asking Slack."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from exporter.logs import Log
from exporter.relay import letters
from exporter.relay.metrics import Metrics
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

T = TypeVar("T")


Id = Annotated[int, msgspec.Meta(ge=1, le=letters.MAX_ID)]


class Wanted(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which dead letters are to be tried again."""

    ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MAX_REPLAYED)] = ()
    all: bool = False


class Unwanted(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which dead letters are to be forgotten: each by its number, never one that nobody has seen."""

    ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=letters.MAX_DISCARDED)]


class Replayed(msgspec.Struct, frozen=True):
    """What became of one; `error` is empty where it worked."""

    id: int
    error: str = ""


class Control:
    """The paths below /api/v1 that want the token."""

    def __init__(self, parts: Parts, metrics: Metrics) -> None:
        self._parts, self._metrics = parts, metrics
        self._senders = Senders(1, "auth-test")

    async def dead_letters(self, request: Request) -> Response:
        """List the dead letters."""
        if refused := self._refused(request):
            return refused
        return _answer({"dead_letters": await self._run(letters.listed)})

    async def ids(self, request: Request) -> Response:
        """Tell the numbers of all dead letters, oldest first: the list has the newest only."""
        if refused := self._refused(request):
            return refused
        return _answer({"ids": await self._run(letters.ids)})

    async def dead_letter(self, request: Request) -> Response:
        """Tell one dead letter with all of its body."""
        if refused := self._refused(request):
            return refused
        letter: int = request.path_params["letter"]
        found = None if letter > letters.MAX_ID else await self._run(lambda db: letters.whole(db, letter))
        return JSONResponse({"error": "there is no such dead letter"}, 404) if found is None else _answer(found)

    async def discard(self, request: Request) -> Response:
        """Forget dead letters: `{"ids": [1, 2]}`."""
        if refused := self._refused(request):
            return refused
        unwanted = await _wish(request, Unwanted, "{'ids': [1, 2]}")
        if isinstance(unwanted, Response):
            return unwanted
        # to the end, even if whoever asked goes away: what is gone is counted and told
        return await asyncio.shield(self._discard(unwanted.ids))

    async def _discard(self, unwanted: tuple[int, ...]) -> Response:
        gone = await self._run(lambda db: letters.discard(db, unwanted))
        self._metrics.discarded.inc(len(gone))
        done = {one.id for one in gone}
        _log.info("dead letters discarded", ids=sorted(done), missing=[one for one in unwanted if one not in done])
        return _answer({"discarded": gone})

    async def replay(self, request: Request) -> Response:
        """Try dead letters again: `{"ids": [1, 2]}` or `{"all": true}`."""
        if refused := self._refused(request):
            return refused
        wanted = await _wish(request, Wanted, "{'ids': [1, 2]} or {'all': true}")
        if isinstance(wanted, Response):
            return wanted
        ids = wanted.ids
        if wanted.all:
            ids = tuple(await self._run(letters.ids))
        done = [await self._replay(one) for one in ids]
        _log.info("dead letters replayed", ids=list(ids), failed=sum(bool(one.error) for one in done))
        self._parts.delivery.wake()
        return _answer({"replayed": done})

    async def _replay(self, letter: int) -> Replayed:
        now, limit = self._parts.clock(), self._parts.settings.limits.queue_snapshots
        try:
            return Replayed(letter, await self._run(lambda db: letters.replay(db, letter, now, limit)))
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

    async def _run(self, do: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in a transaction. Raises StoreError, and TimeoutError where the disk is stuck."""
        return await asyncio.wait_for(asyncio.wrap_future(self._parts.queue.run(do)), DATABASE_SECONDS)

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


async def _wish(request: Request, kind: type[T], expected: str) -> T | Response:
    """Return what a request asks for, or the refusal of one that cannot be read."""
    try:
        return msgspec.json.decode(await _body(request), type=kind)
    except (msgspec.DecodeError, ValueError, TimeoutError, ClientDisconnect) as err:
        return JSONResponse({"error": f"expected {expected}: {err}"}, 400)


async def _body(request: Request) -> bytes:
    """Return a small body. Raises ValueError for a large one, TimeoutError for a slow one."""
    out = b""
    async with asyncio.timeout(BODY_SECONDS):
        async for chunk in request.stream():
            out += chunk
            if len(out) > MAX_BODY:
                raise ValueError(f"more than {MAX_BODY} bytes")
    return out
