"""The collector `services_api`: what polls of services APIs found."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final

from exporter.exposition import Block, Family, number
from exporter.fleet.errors import Kind
from exporter.fleet.services_api import Instance
from exporter.probes.check import random_share
from exporter.probes.rows import Lines, assemble
from exporter.probes.services_watch import Watched
from exporter.settings.services_api import ServicesApiSettings

_BY_INSTANCE: Final = ("api", "instance_ip", "api_service")
UP: Final = Family(
    "host_api_up",
    "gauge",
    "1 where the last poll got the list and an answer of one instance at least (or the list was empty), 0 where not; "
    "absent while it could not be asked.",
    ("api",),
)
POSSIBLE: Final = Family(
    "host_api_check_possible",
    "gauge",
    "1 where the last poll could ask, 0 where it could not: that says nothing about the API.",
    ("api",),
)
INSTANCES: Final = Family("host_api_instances", "gauge", "Instances that the API lists.", ("api",))
SERVICE_INSTANCES: Final = Family(
    "host_api_service_instances",
    "gauge",
    "Instances of a service; unhealthy is CPU or memory at or above its threshold, unknown one that was of this "
    "service when it last answered and did not answer now. A service that is listed no more has 0 until the next "
    "start.",
    ("api", "api_service", "health"),
)
CPU: Final = Family("host_api_instance_cpu_ratio", "gauge", "CPU in use as the API tells it, 0 to 1.", _BY_INSTANCE)
MEMORY: Final = Family(
    "host_api_instance_memory_ratio", "gauge", "Memory in use as the API tells it, 0 to 1.", _BY_INSTANCE
)
ERRORS: Final = Family(
    "host_api_errors_total",
    "counter",
    "Instances of which nothing could be learned, and polls without a list, by what was wrong.",
    ("api", "kind"),
)
DURATION: Final = Family("host_api_poll_duration_seconds", "gauge", "How long the last poll took.", ("api",))
LAST_ATTEMPT: Final = Family(
    "host_api_last_attempt_timestamp_seconds", "gauge", "When the last poll ended, seconds since the epoch.", ("api",)
)


class ServicesApis:
    """Services APIs, polled on timers of their own: instances as they are told, and how many of a service are healthy.

    Shows what the last complete poll found, for three intervals at most; of an instance that gave no value nothing.
    """

    name: ClassVar[str] = "services_api"
    families: ClassVar[tuple[Family, ...]] = (
        UP,
        POSSIBLE,
        INSTANCES,
        SERVICE_INSTANCES,
        CPU,
        MEMORY,
        ERRORS,
        DURATION,
        LAST_ATTEMPT,
    )
    blocking: ClassVar[bool] = False

    def __init__(
        self,
        settings: Iterable[ServicesApiSettings],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        share: Callable[[], float] = random_share,
    ) -> None:
        self.apis = tuple(Watched(one, clock, wall) for one in settings)
        self._share = share
        self._tasks: list[asyncio.Task[None]] = []
        self._lines: dict[Watched, tuple[tuple[int, bool], Lines]] = {}

    def start(self) -> None:
        """Begin on the running loop, each API at a random moment of its own."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(api.run(self._share())) for api in self.apis]

    def stop(self) -> None:
        """End; what is under way counts for nothing."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def collect(self) -> Block:
        """Return the rows of every API that has been polled."""
        return assemble(self.families, [self._lines_of(api) for api in self.apis if api.version])

    def _lines_of(self, api: Watched) -> Lines:
        version = api.version, api.poll is None
        known, lines = self._lines.get(api, (None, ()))
        if known != version:
            lines = lines_of(api)
            self._lines[api] = version, lines
        return lines


def lines_of(api: Watched) -> Lines:
    """Return an API's lines, in the order of the collector's families."""
    labels, poll = (api.settings.name,), api.poll
    instances = poll.instances if poll is not None else ()
    listed = None if poll is None else len(instances) + len(poll.broken) + poll.left_out
    return (
        _line(UP, labels, None if api.up is None else int(api.up)),
        _line(POSSIBLE, labels, int(api.up is not None)),
        _line(INSTANCES, labels, listed),
        _service_lines(api),
        *_instance_lines(labels[0], instances),
        b"".join(_line(ERRORS, (*labels, kind.value), api.errors[kind]) for kind in Kind),
        _line(DURATION, labels, None if api.duration is None else round(api.duration, 6)),
        _line(LAST_ATTEMPT, labels, None if api.last_attempt is None else round(api.last_attempt, 3)),
    )


def _service_lines(api: Watched) -> bytes:
    return b"".join(
        _line(SERVICE_INSTANCES, (api.settings.name, service, health), count)
        for service, healths in sorted(api.services().items())
        for health, count in healths.items()
    )


def _instance_lines(api: str, instances: Sequence[Instance]) -> tuple[bytes, bytes]:
    cpu = [_line(CPU, (api, one.ip, one.service), one.cpu_ratio) for one in instances]
    memory = [_line(MEMORY, (api, one.ip, one.service), one.memory_ratio) for one in instances]
    return b"".join(cpu), b"".join(memory)


def _line(family: Family, labels: Sequence[str], value: float | None) -> bytes:
    return b"" if value is None else family.prefix(labels) + number(value) + b"\n"
