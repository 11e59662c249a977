"""POST /alertmanager: who may, how much, what, and only then onto the disk and 200.

Alertmanager tries again after 5xx only; every other answer but 2xx is final for it. So 503 when something could
not be stored, 400 for what no repetition makes readable, and never 429.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.logs import Log
from exporter.relay.intake import PayloadError, Snapshot, news_digest, parse_snapshot
from exporter.relay.metrics import Metrics
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.settings import Relay
from exporter.relay.storage import Arrival, DeadLetter, StoreFullError
from exporter.relay.token import Token
from exporter.relay.watchdog import Watchdog, split

_log = Log("exporter.relay.webhook")

PATH: Final = "/alertmanager"
STORED: Final = b'{"status":"stored"}'
# a disk that takes longer is as good as none: Alertmanager repeats, and copies do no harm
STORE_SECONDS: Final = 10.0
RETRY_AFTER_SECONDS: Final = 5
# how long an unwanted body is read and thrown away, so that its sender gets to read the answer
DISCARD_SECONDS: Final = 2.0
# one line per reason in so many seconds; each refusal is counted
LOG_SECONDS: Final = 10.0


class Refusal(Exception):  # noqa: N818 -- an answer, not a fault of ours
    """A webhook is not taken; `reason` is one of metrics.REJECTIONS. `read_on`: there is more of its body to come."""

    def __init__(self, code: int, reason: str, text: str, *, read_on: bool = False) -> None:
        super().__init__(text)
        self.code, self.reason, self.text, self.read_on = code, reason, text, read_on

    def response(self) -> Response:
        """Return the answer that a person and Alertmanager understand."""
        headers = {"Cache-Control": "no-store"}
        if self.code == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="hostwatch relay"'
        if self.code == 503:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if self.read_on or self.code == 408:
            headers["Connection"] = "close"
        return JSONResponse({"status": "refused", "reason": self.reason, "error": self.text}, self.code, headers)


class Webhook:
    """Takes webhooks in. `on_stored` is called after each snapshot that reached the disk."""

    def __init__(
        self,
        settings: Relay,
        token: Token,
        queue: DurableQueue,
        metrics: Metrics,
        *,
        on_stored: Callable[[], None],
        watchdog: Watchdog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._watchdog, self._alertname = watchdog, settings.watchdog.alertname
        self._limits, self._body_timeout = settings.limits, settings.http.body_timeout
        self._token, self._queue, self._metrics = token, queue, metrics
        self._on_stored, self._clock = on_stored, clock
        self._held = 0  # bytes of all bodies that are being received
        self._told: dict[str, tuple[float, int]] = {}  # per reason: when it was logged last, and how many came since

    async def post(self, request: Request) -> Response:
        """Answer one webhook."""
        self._metrics.requests.inc()
        try:
            await self._take(request)
        except Refusal as refusal:
            if refusal.read_on:
                await _discard(request)
            return self._refuse(refusal)
        except Exception as err:  # noqa: BLE001 -- the boundary: our fault must make Alertmanager try again
            _log.error("webhook failed", exc=err)
            return self._refuse(Refusal(503, "fault", "the relay failed, its log says why"), log=False)
        return Response(STORED, media_type="application/json")

    def before(self, app: ASGIApp) -> ASGIApp:
        """Return an application that answers webhooks itself and leaves all else to `app`.

        Routing, middleware and their wrappers take as long as all that is ours: a storm has better use for it.
        """

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
                response = await self.post(Request(scope, receive, send))
                await response(scope, receive, send)
            else:
                await app(scope, receive, send)

        return front

    def _refuse(self, refusal: Refusal, *, log: bool = True) -> Response:
        self._metrics.rejected.labels(refusal.reason).inc()
        if log:
            self._tell(refusal)
        return refusal.response()

    def _tell(self, refusal: Refusal) -> None:
        """Log a refusal; of equal ones in quick succession only the first, as anybody can provoke them."""
        now = time.monotonic()
        last, more = self._told.get(refusal.reason, (-LOG_SECONDS, 0))
        if now - last < LOG_SECONDS:
            self._told[refusal.reason] = last, more + 1
            return
        self._told[refusal.reason] = now, 0
        _log.warning("webhook refused", reason=refusal.reason, code=refusal.code, error=refusal.text, not_logged=more)

    async def _take(self, request: Request) -> None:
        self._check_head(request)
        try:
            async with asyncio.timeout(self._body_timeout):
                body = await self._body(request)
        except TimeoutError as err:
            text = f"the body did not come within {self._body_timeout}"
            raise Refusal(408, "timeout", text) from err
        await self._keep(body)

    def _check_head(self, request: Request) -> None:
        """Refuse before anything of the body is held."""
        if not self._token.accepts(request.headers.get("authorization", "").encode("latin-1")):
            raise Refusal(
                401, "token", "the Authorization header does not carry what the relay's token_file holds", read_on=True
            )
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._limits.body_bytes:
            raise self._too_large(read_on=True)

    def _too_large(self, *, read_on: bool) -> Refusal:
        text = f"expected a body of at most {self._limits.body_bytes} bytes (limits.body_bytes)"
        return Refusal(413, "too_large", text, read_on=read_on)

    async def _body(self, request: Request) -> bytes:
        chunks, size, more = [], 0, True
        try:
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "disconnected", "the sender closed the connection within the body")
                chunk, more = message.get("body", b""), message.get("more_body", False)
                size += len(chunk)
                self._held += len(chunk)
                self._check_size(size, read_on=more)
                chunks.append(chunk)
        finally:
            self._held -= size
        return b"".join(chunks)

    def _check_size(self, size: int, *, read_on: bool) -> None:
        if size > self._limits.body_bytes:
            raise self._too_large(read_on=read_on)
        if self._held > self._limits.intake_bytes:
            raise Refusal(503, "queue_full", "too many bodies at one time (limits.intake_bytes)", read_on=read_on)

    async def _keep(self, body: bytes) -> None:
        now = self._clock()
        try:
            snapshot = parse_snapshot(body)
        except PayloadError as err:
            await self._bury(DeadLetter(reason=err.reason, detail=str(err), body=body, received=now))
            raise Refusal(400, err.reason, str(err)) from err
        self._check_version(snapshot)
        beat, rest = split(snapshot, self._alertname)
        if beat:
            await self._beat()
        if rest is None:
            return
        if rest is not snapshot:
            snapshot, body = rest, msgspec.json.encode(rest)
        await self._store(
            Arrival(
                receiver=snapshot.receiver,
                group_key=snapshot.group_key,
                digest=news_digest(snapshot),
                body=body,
                received=now,
            )
        )
        self._metrics.stored.inc()
        self._metrics.last_stored.set(now)
        self._on_stored()

    def _check_version(self, snapshot: Snapshot) -> None:
        if not snapshot.version_known:
            self._metrics.other_versions.inc()
            _log.warning("payload of another version, read as version 4", version=snapshot.version)

    async def _beat(self) -> None:
        """Let the Watchdog's coming be noted on disk."""
        try:
            await asyncio.wait_for(self._watchdog.beat(), STORE_SECONDS)
        except StoreFullError as err:
            raise Refusal(503, "queue_full", f"the queue is full: {err}") from err
        except (StoreError, TimeoutError) as err:
            raise Refusal(503, "store", "not stored: the disk is full, failing or too slow") from err

    async def _store(self, arrival: Arrival) -> None:
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._queue.store(arrival)), STORE_SECONDS)
        except StoreFullError as err:
            raise Refusal(503, "queue_full", f"the queue is full: {err}") from err
        except (StoreError, TimeoutError) as err:
            raise Refusal(503, "store", "not stored: the disk is full, failing or too slow") from err

    async def _bury(self, letter: DeadLetter) -> None:
        """Keep what cannot be read; if not even that is possible, the sender shall try again."""
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._queue.bury(letter)), STORE_SECONDS)
        except StoreFullError as err:
            raise Refusal(503, "queue_full", f"unreadable, and no room to keep it: {err}") from err
        except (StoreError, TimeoutError) as err:
            raise Refusal(503, "store", "unreadable, and not stored: the disk is full, failing or too slow") from err


async def _discard(request: Request) -> None:
    """Read on for a while and throw away: a connection closed with unread data loses its answer (TCP reset)."""
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while (message := await request.receive())["type"] == "http.request" and message.get("more_body"):
                pass
    except TimeoutError:
        return
