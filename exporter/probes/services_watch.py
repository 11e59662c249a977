"""One services API that is watched: polled on a timer of its own, its last complete poll and its errors kept."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from exporter.fleet.errors import FetchError, Kind
from exporter.fleet.fetch import Address
from exporter.fleet.services_api import Limits, Poll, ServicesApi
from exporter.logs import Log
from exporter.probes.resolver import ResolveError, resolve
from exporter.settings.services_api import ServicesApiSettings

log = Log(__name__)

HEALTHY: Final = "healthy"
UNHEALTHY: Final = "unhealthy"
UNKNOWN: Final = "unknown"

FIRST_SECONDS: Final = 15.0
# of the interval: a poll that took all of it would have the next one missed
_SHARE_OF_INTERVAL: Final = 0.9
# what an API found last is shown for so many intervals more: one bad poll is no reason that all its rows go and come
# back, after three they would tell of a past that nobody has seen since
STALE_INTERVALS: Final = 3


async def _look_up(host: str, port: int, deadline: float) -> Sequence[Address]:
    """Look a name up on the threads that all probes share."""
    try:
        return [Address(found.family, found.sockaddr) for found in await resolve(host, port, 0, deadline)]
    except ResolveError as err:
        known = err.reason.value in Kind.__members__.values()
        raise FetchError(Kind(err.reason.value) if known else Kind.RESOLVER_FAILED, err.detail) from err


class Watched:
    """One API: its timer, its last complete poll, and what was counted."""

    def __init__(
        self,
        settings: ServicesApiSettings,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        limits = Limits(settings.timeout, settings.concurrency, settings.max_instances)
        self.settings = settings
        self._reader = ServicesApi(settings.url, limits, _look_up)
        self._clock = clock
        self._wall = wall
        self.errors: Counter[Kind] = Counter()
        self.up: bool | None = None
        """None while it could not be asked."""
        self.duration: float | None = None
        self.last_attempt: float | None = None
        self.version = 0
        """Counts the polls."""
        self._last: Poll | None = None
        self._last_at = 0.0
        self._services: dict[str, str] = {}
        """The service of each instance that is listed, when it last answered."""
        self._known: dict[str, None] = {}
        """Every service that was ever listed, in that order: one that lost its last instance has none, and says so."""
        self._told: Kind | Literal["ok", "broken"] = "ok"
        """What was logged last: why there is no list, or how the instances are."""

    @property
    def poll(self) -> Poll | None:
        """The last complete poll; None before one and when it is too old."""
        if self._last is None or self._clock() - self._last_at > STALE_INTERVALS * self.settings.interval:
            return None
        return self._last

    async def run(self, share: float) -> None:
        """Poll at every interval, first at a share of it, until cancelled."""
        loop, interval = asyncio.get_running_loop(), self.settings.interval
        begin = loop.time() + share * min(interval, FIRST_SECONDS)
        while True:
            await asyncio.sleep(begin - loop.time())
            await self._poll_once()
            # what was missed, as while this process was stopped, is not made up for
            begin += (max(loop.time() - begin, 0.0) // interval + 1) * interval

    async def _poll_once(self) -> None:
        begun = self._clock()
        try:
            poll = await self._reader.poll(self.settings.interval * _SHARE_OF_INTERVAL)
        except FetchError as err:
            self._fail(err.kind, err.detail)
        except Exception as err:  # noqa: BLE001 -- the boundary of a poll: the next one tries again
            if self._told is not Kind.INTERNAL_ERROR:
                log.error("poll of a services API broke", exc=err, api=self.settings.name)
            self._fail(Kind.INTERNAL_ERROR, f"{type(err).__name__}: {err}")
        else:
            self._succeed(poll)
        self.duration = self._clock() - begun
        self.last_attempt = self._wall()
        self.version += 1

    def _fail(self, kind: Kind, detail: str) -> None:
        self.errors[kind] += 1
        self.up = False if kind.was_asked else None
        if kind is not self._told:
            log.warning("services API gives no list", api=self.settings.name, reason=kind.value, detail=detail)
        self._told = kind

    def _succeed(self, poll: Poll) -> None:
        self.errors.update(broken.kind for broken in poll.broken)
        self.errors[Kind.TOO_MANY_INSTANCES] += poll.left_out
        self.up = self._judge(poll)
        known = {broken.ip: self._services[broken.ip] for broken in poll.broken if broken.ip in self._services}
        self._services = known | {one.ip: one.service for one in poll.instances}
        for one in poll.instances:
            # names are the API's: no more of them than of instances
            if len(self._known) < self.settings.max_instances:
                self._known[one.service] = None
        self._last, self._last_at = poll, self._clock()
        now: Literal["ok", "broken"] = "broken" if poll.broken else "ok"
        if now != self._told and now == "ok":
            log.info("services API ok", api=self.settings.name, instances=len(poll.instances))
        elif now != self._told:
            log.warning("services API: instances without a value", api=self.settings.name, **_summary(poll))
        self._told = now

    @staticmethod
    def _judge(poll: Poll) -> bool | None:
        """Return what a poll with a list says about the API as a whole; None where nobody could be asked."""
        if poll.instances or not poll.broken:
            return True
        return False if any(broken.kind.was_asked for broken in poll.broken) else None

    def services(self) -> dict[str, Counter[str]]:
        """Return how many instances of each service are in which health, by the last complete poll.

        A service that is listed no more has 0; there is none at all before a poll, and after polls that failed.
        """
        poll = self.poll
        if poll is None:
            return {}
        out = {service: Counter({HEALTHY: 0, UNHEALTHY: 0}) for service in self._known}
        for service, health in self._healths(poll):
            out.setdefault(service, Counter({HEALTHY: 0, UNHEALTHY: 0}))[health] += 1
        return out

    def _healths(self, poll: Poll) -> Iterable[tuple[str, str]]:
        limits = self.settings.cpu_threshold, self.settings.memory_threshold
        for one in poll.instances:
            yield one.service, HEALTHY if one.is_healthy(*limits) else UNHEALTHY
        for broken in poll.broken:
            if broken.kind is not Kind.GONE and broken.ip in self._services:
                yield self._services[broken.ip], UNKNOWN


def _summary(poll: Poll) -> dict[str, object]:
    kinds = Counter(broken.kind.value for broken in poll.broken)
    return {"kinds": dict(kinds), "example": poll.broken[0].ip, "detail": poll.broken[0].detail}
