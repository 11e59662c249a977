"""The Watchdog: an alert that always fires. When it stays away, the way from Prometheus to here is broken.

Then the relay tells Slack itself, with an alert of its own that takes the usual way through the queue: one message,
resolved when the Watchdog is back. Only the monotonic clock decides: a wall clock that jumps raises no alarm.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from exporter.logs import Log
from exporter.relay import storage, wording
from exporter.relay.intake import Alert, Snapshot, news_digest
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.settings import WatchdogSettings
from exporter.relay.storage import Arrival, StoreFullError

_log = Log("exporter.relay.watchdog")

ALERT: Final = "AlertPipelineSilent"
RECEIVER: Final = "hostwatch"
GROUP_KEY: Final = f'hostwatch:{{alertname="{ALERT}"}}'
# how often the clock is looked at, unless the settings want it sooner
LOOK_SECONDS: Final = 5.0
# a look so late means that this process, or all of the machine, stood still: that time is no silence of others
STALL_SECONDS: Final = 1.0

# rows of the table moments
_SEEN: Final = "watchdog_seen"
_SILENT: Final = "watchdog_silent"
_BEGAN: Final = "watchdog_began"
# our own messages are never refused for want of room: there is one group of them
_NO_LIMIT: Final = 1 << 62


def split(snapshot: Snapshot, alertname: str) -> tuple[bool, Snapshot | None]:
    """Return whether a firing Watchdog is in a snapshot, and what is left without it; None when nothing is."""
    mine = [alert for alert in snapshot.alerts if alert.name == alertname]
    if not mine:
        return False, snapshot
    others = tuple(alert for alert in snapshot.alerts if alert.name != alertname)
    return any(alert.status == "firing" for alert in mine), _without(snapshot, others)


def _without(snapshot: Snapshot, others: tuple[Alert, ...]) -> Snapshot | None:
    if not others:
        return None
    fires = any(alert.status == "firing" for alert in others)
    return msgspec.structs.replace(snapshot, alerts=others, status="firing" if fires else "resolved")


class Watchdog:
    """Lives on the event loop. `wake` is called when it has put something into the queue."""

    def __init__(
        self,
        settings: WatchdogSettings,
        queue: DurableQueue,
        wake: Callable[[], None],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._queue, self._wake = settings, queue, wake
        self._clock, self._monotonic = clock, monotonic
        # what came is not to be noted while its absence is being told
        self._busy = asyncio.Lock()
        self._started = clock()
        # since when it is missed, on the monotonic clock: its last coming, or the start
        self._base = monotonic()
        self._came = False
        self._told = monotonic()
        self.last_seen: float | None = None
        """When it came last, in seconds since 1970; kept over restarts."""
        self.silent_since: float | None = None
        """Since when it is missed, in seconds since 1970, while Slack is told so."""
        self.beats = 0

    @property
    def is_expected(self) -> bool:
        """Whether somebody is told when it does not come."""
        if self._settings.expected is None:
            return self.last_seen is not None
        return self._settings.expected

    @property
    def is_fresh(self) -> bool:
        """Whether it came, since the start, less than `silent_after` ago."""
        return self._came and self.missed_for < self._settings.silent_after

    @property
    def missed_for(self) -> float:
        """Seconds since it came last, or since the start."""
        return max(0.0, self._monotonic() - self._base)

    @property
    def age(self) -> float | None:
        """Seconds since it came last; None when it has not since the start."""
        return self.missed_for if self._came else None

    async def beat(self) -> None:
        """Take note, on disk, that it came; tells that it is back. Raises StoreError."""
        async with self._busy:
            await self._beat(self._clock())

    async def _beat(self, now: float) -> None:
        back = self._arrival(now, resolved=True) if self.silent_since is not None else None

        def keep(db: sqlite3.Connection) -> None:
            _put(db, _SEEN, now)
            if back is not None:
                storage.insert(db, back, _NO_LIMIT)
                db.execute("DELETE FROM moments WHERE what = ?", (_SILENT,))

        await asyncio.wrap_future(self._queue.run(keep))
        self._base, self._came, self.last_seen = self._monotonic(), True, now
        self.beats += 1
        if back is not None:
            self.silent_since = None
            _log.info("Watchdog is back")
            self._wake()

    async def run(self) -> None:
        """Watch until cancelled. A failing database is asked again."""
        begun = False
        step = min(LOOK_SECONDS, self._settings.silent_after / 10)
        while True:
            due = self._monotonic() + step
            with contextlib.suppress(StoreError, StoreFullError):  # the queue has logged it
                if not begun:
                    await self.begin()
                    begun = True
                await self.look()
            await asyncio.sleep(max(0.0, due - self._monotonic()))
            self.forgive(self._monotonic() - due)

    def forgive(self, late: float) -> None:
        """Leave the time out in which this process stood still."""
        if late >= STALL_SECONDS:
            self._base += late
            _log.warning("the relay stood still", seconds=round(late, 1))

    async def begin(self) -> None:
        """Remember what an earlier run saw. From now on it has `silent_after` to come again."""
        known = await asyncio.wrap_future(self._queue.run(_moments))
        self.last_seen = self.last_seen or known.get(_SEEN)
        self.silent_since = known.get(_SILENT)
        if self.silent_since is not None and not self.is_expected:
            await self._end_unexpected()

    async def look(self) -> None:
        """Tell Slack if it has been missed for too long, and again while that lasts."""
        if self.is_expected:
            async with self._busy:
                await self._look()

    async def _look(self) -> None:
        if self.silent_since is None:
            if self.missed_for >= self._settings.silent_after:
                await self._tell_silence()
        elif self._monotonic() - self._told >= self._settings.repeat_after:
            reminder = self._arrival(self._clock(), resolved=False)
            await asyncio.wrap_future(self._queue.run(lambda db: storage.insert(db, reminder, _NO_LIMIT)))
            self._told = self._monotonic()
            self._wake()

    async def _tell_silence(self) -> None:
        known = await asyncio.wrap_future(self._queue.run(_moments))
        # a start that is not later than the last one's would be taken for an old telling of it
        began = max(self.last_seen or self._started, known.get(_BEGAN, 0.0) + 1)
        arrival = self._arrival(self._clock(), resolved=False, began=began)

        def keep(db: sqlite3.Connection) -> None:
            _put(db, _SILENT, began)
            _put(db, _BEGAN, began)
            storage.insert(db, arrival, _NO_LIMIT)

        await asyncio.wrap_future(self._queue.run(keep))
        self.silent_since, self._told = began, self._monotonic()
        _log.error("alert pipeline silent", last_seen=self.last_seen, seconds=round(self.missed_for))
        self._wake()

    async def _end_unexpected(self) -> None:
        """End what an earlier run told: the settings do not expect it any more."""
        arrival = self._arrival(self._clock(), resolved=True)

        def keep(db: sqlite3.Connection) -> None:
            storage.insert(db, arrival, _NO_LIMIT)
            db.execute("DELETE FROM moments WHERE what = ?", (_SILENT,))

        await asyncio.wrap_future(self._queue.run(keep))
        self.silent_since = None
        self._wake()

    def _arrival(self, now: float, *, resolved: bool, began: float | None = None) -> Arrival:
        """Return our own alert as if Alertmanager had sent it."""
        start = began if began is not None else self.silent_since or now
        silent_for = wording.duration(self._settings.silent_after)
        alert = Alert(
            status="resolved" if resolved else "firing",
            labels={"alertname": ALERT, "severity": "critical"},
            annotations={
                "summary": f"Alerts may be missing: no {self._settings.alertname} has come for {silent_for}",
                "description": "Prometheus, its rules, Alertmanager or the way from there to the relay is broken. Until"
                " this is resolved, silence says nothing. Look at Prometheus' /targets and /alerts, then at"
                " Alertmanager's log.",
            },
            starts_at=_rfc3339(start),
            # the clock may have been set back meanwhile
            ends_at=_rfc3339(max(now, start)) if resolved else "",
        )
        snapshot = Snapshot(
            group_key=GROUP_KEY,
            alerts=(alert,),
            receiver=RECEIVER,
            status=alert.status,
            group_labels={"alertname": ALERT},
        )
        return Arrival(
            receiver=RECEIVER,
            group_key=GROUP_KEY,
            digest=news_digest(snapshot),
            body=msgspec.json.encode(snapshot),
            received=now,
        )


def _moments(db: sqlite3.Connection) -> dict[str, float]:
    return dict(db.execute("SELECT what, moment FROM moments").fetchall())


def _put(db: sqlite3.Connection, what: str, moment: float) -> None:
    db.execute("INSERT OR REPLACE INTO moments (what, moment) VALUES (?, ?)", (what, moment))


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
