"""Rows from a services API: an instance that does not answer as it should costs its own row."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from exporter.fleet.model import Progress, Row, Snapshot, SourceError, Status, Thresholds, judge, unseen
from exporter.fleet.services_api import Broken, FetchError, Instance, Limits, ServicesApi

MAX_INSTANCES: Final = 10_000
LIMITS: Final = Limits(max_instances=MAX_INSTANCES)
POLL_SECONDS: Final = 60.0
# how long an instance is taken to be of the service it was of, when only one service is asked for
MEMORY_SECONDS: Final = 60.0


class ApiSource:
    """A services API. Remembers which service an instance was of, so that watching one asks for its own only."""

    def __init__(
        self,
        base: str,
        *,
        limits: Limits = LIMITS,
        thresholds: Thresholds = Thresholds(),  # noqa: B008 -- never changes
        seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take HOST:PORT or http://HOST:PORT/PATH as the base, and how long a fetch may take.

        Raises ValueError for what is no address.
        """
        self.name = base
        self._api = ServicesApi(base, limits)
        self._thresholds = thresholds
        self._seconds = seconds
        self._clock = clock
        self._wall = wall
        self._service_of: dict[str, str] = {}
        self._complete_at: float | None = None

    def fetch(self, service: str | None = None, progress: Progress = unseen) -> Snapshot:
        """Return all rows, or those of one service with all whose service is not known, in the order of the list.

        Blocks, on an event loop of its own, so long as was said at most. Of one service all are asked for once in a
        minute, in between those that were of it or may be. Raises SourceError when there is no list.
        """
        others = self._others(service)
        try:
            poll = asyncio.run(self._api.poll(self._seconds, others.__contains__, progress))
        except FetchError as err:
            raise SourceError(f"services API {self.name}: {err.kind}: {err.detail}") from err
        except OSError as err:  # no loop: too many open files
            raise SourceError(f"services API {self.name}: {err.strerror or err}") from err
        if not others:
            listed = {one.ip for one in poll.ordered}
            self._service_of = {ip: known for ip, known in self._service_of.items() if ip in listed}
            self._complete_at = self._clock()
        self._service_of |= {one.ip: one.service for one in poll.instances}
        rows = [self._row(one) for one in poll.ordered]
        return Snapshot(
            tuple(row for row in rows if service is None or row.service in (service, None)), self._wall(), poll.left_out
        )

    def _others(self, service: str | None) -> frozenset[str]:
        """Return the instances that were of another service a short while ago."""
        if service is None or self._complete_at is None or self._clock() - self._complete_at >= MEMORY_SECONDS:
            return frozenset()
        return frozenset(ip for ip, known in self._service_of.items() if known != service)

    def _row(self, one: Instance | Broken) -> Row:
        if isinstance(one, Broken):
            reason = f"{one.kind}: {one.detail}"
            return Row(one.ip, self._service_of.get(one.ip), None, None, Status.UNKNOWN, reason)
        limits = self._thresholds
        status, reason = judge({"cpu": (one.cpu_ratio, limits.cpu), "memory": (one.memory_ratio, limits.memory)})
        return Row(one.ip, one.service, one.cpu_ratio, one.memory_ratio, status, reason)
