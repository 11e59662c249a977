"""One stream of server-sent events for all open pages: what is told is read and written once for all of them."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from exporter import __version__
from exporter.logs import Log
from exporter.server.http import Channel, Reply, Request, Response
from exporter.web import endpoints
from exporter.web.alerts import Alerts, AlertSource
from exporter.web.answers import devices, past, processes, watched
from exporter.web.answers import machine as machines
from exporter.web.api import read
from exporter.web.rows import Rows
from exporter.web.sources import Sources

log = Log(__name__)

EVENTS: Final = "text/event-stream"
FRESH_SECONDS: Final = 1.0
"""A page that opens so soon behind the last reading gets that one."""
FULL: Final = Response(503, b"503: too many open pages (dashboard.max_pages)\n", headers=("Retry-After: 30",))
_HEADERS: Final = ("Cache-Control: no-store", "X-Content-Type-Options: nosniff", "X-Accel-Buffering: no")
# after how many milliseconds a page that lost its stream comes back
_BEGIN: Final = b"retry: 3000\n\n"
_FROM: Final = (
    *machines.MACHINE_FROM,
    *machines.CPU_FROM,
    *machines.MEMORY_FROM,
    *devices.DISKS_FROM,
    *devices.NETWORK_FROM,
    *watched.LATENCY_FROM,
    *watched.SERVICES_FROM,
    *watched.CONTAINERS_FROM,
)


class Update(msgspec.Struct, frozen=True):
    """All that an open page shows of one moment."""

    version: str
    now_timestamp_seconds: float
    interval_seconds: float
    is_sampled: bool
    machine: machines.Machine
    cpu: machines.Cpu
    memory: machines.Memory
    disks: devices.Disks
    network: devices.Network
    latency: watched.Latency
    services: watched.Services
    containers: watched.Containers
    processes: processes.Processes
    sample: past.Sample | UnsetType = UNSET
    alerts: Alerts | UnsetType = UNSET


class Stream:
    """The handler of the stream: reads once an interval while a page is open, and nothing while none is."""

    def __init__(self, sources: Sources, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._clock = clock
        self._alerts = AlertSource(sources.dashboard)
        self._channels: set[Channel] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._encoder = msgspec.json.Encoder()
        self._last = b""
        self._last_at = 0.0
        self._is_reading = False
        self._is_closed = False

    def __call__(self, request: Request, reply: Reply) -> None:  # noqa: ARG002 -- a handler's signature
        """Begin to tell one more page."""
        if self._is_closed or len(self._channels) >= self._sources.dashboard.max_pages:
            reply(FULL)
            return
        reply(Response(200, _BEGIN, EVENTS, _HEADERS, self._opened))

    def _opened(self, channel: Channel) -> Callable[[], None]:
        self._channels.add(channel)
        if self._last and self._clock() - self._last_at < FRESH_SECONDS:
            # in a later turn: the connection is not yet what it becomes when this returns
            asyncio.get_running_loop().call_soon(channel.send, self._last)
        # the reading of a page that has gone goes on without a timer
        elif self._timer is None or not self._is_reading:
            if self._timer is not None:
                self._timer.cancel()
            self._tick()
        return lambda: self._lost(channel)

    def _lost(self, channel: Channel) -> None:
        self._channels.discard(channel)
        if not self._channels:
            self._rest()

    def _rest(self) -> None:
        """Read nothing any more, and keep nothing of what was read."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._last = None, b""

    def _tick(self) -> None:
        """Read, once for all pages, and again an interval later."""
        self._timer = asyncio.get_running_loop().call_later(self._sources.history.interval, self._tick)
        self._alerts.refresh()
        if self._is_reading:
            return  # what is slow is not asked twice
        self._is_reading = True
        read(self._sources, _FROM, self._tell)

    def _tell(self, rows: Rows) -> None:
        self._is_reading = False
        if not self._channels:
            return  # all have gone while it was read
        try:
            self._last = b"event: update\ndata: " + self._encoder.encode(self.update(rows)) + b"\n\n"
        except Exception as err:  # noqa: BLE001 -- the boundary of the stream: the next tick tries again
            log.error("update of open pages failed", exc=err)
            return
        self._last_at = self._clock()
        for channel in tuple(self._channels):
            channel.send(self._last)  # one that has not taken the last yet goes without this one

    def update(self, rows: Rows) -> Update:
        """Return what an open page shows."""
        sources, usage = self._sources, self._sources.history.usage()
        newest = endpoints.newest(sources)
        return Update(
            __version__,
            round(sources.history.now(), 3),
            sources.history.interval,
            sources.is_sampled,
            machines.machine(rows),
            machines.cpu(rows, usage),
            machines.memory(rows, usage),
            devices.disks(rows, usage, newest),
            devices.network(rows, newest),
            watched.latency(rows),
            watched.services(rows),
            endpoints.containers(sources, {}, rows),
            processes.processes(sources.history),
            past.latest(sources.history) or UNSET,
            UNSET if not sources.dashboard.prometheus_url else self._alerts.last or Alerts(),
        )

    def close(self) -> None:
        """End all pages' streams, as at a reload: they come back to the settings that are new."""
        self._is_closed = True
        self._rest()
        for channel in tuple(self._channels):
            channel.end()
