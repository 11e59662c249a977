"""Finds alerts that ended without a word: what was told as firing, and no Alertmanager knows any more.

Alertmanager says nothing of an alert that is muted (silenced or inhibited), neither that it has ended: its message
would stay red for ever. So all Alertmanagers are asked what they know, and what none of them knows for long enough is
told as resolved, by a snapshot of ours that takes the usual way through the queue. Red for too long is better than
green too early: where an answer is missing, or an Alertmanager is young, nothing is resolved. Only the monotonic clock
decides.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from exporter.logs import Log
from exporter.relay.alertmanagers import Knowledge, LookError, ask
from exporter.relay.episodes import Episode
from exporter.relay.intake import ENDED_UNSAID, Alert, Snapshot, news_digest
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.settings import ReconcileSettings
from exporter.relay.storage import Arrival, StoreFullError

_log = Log("exporter.relay.reconcile")

# episodes that are read at one time: the queue's thread has more to do
PAGE: Final = 50
# alerts that are remembered as missing; others have their turn when these are told
MAX_MISSING: Final = 10_000
# groups that are told at one look
MAX_GROUPS: Final = 100
STORE_SECONDS: Final = 10.0
# so much longer than group_interval: a cluster's peers wait for each other before they tell
_PATIENCE: Final = 1.2
# how Alertmanager's group keys begin; ours, of the Watchdog and of tests, do not
_ALERTMANAGERS: Final = "{"

Reason = Literal["alertmanager", "settings", "store", "fault"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


class Key(NamedTuple):
    """One episode of one alert in one message."""

    episode: int
    fingerprint: str
    starts_at: str


class Reconciler:
    """Looks at each interval on a thread of its own. `is_heard`: alerts come through as far as anybody knows."""

    def __init__(
        self,
        urls: Sequence[str],
        settings: ReconcileSettings,
        queue: DurableQueue,
        is_heard: Callable[[], bool] = lambda: True,
        *,
        ask_all: Callable[[Sequence[str], ReconcileSettings], Knowledge] = ask,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls, self._settings, self._queue, self._is_heard = urls, settings, queue, is_heard
        self._ask, self._clock, self._monotonic = ask_all, clock, monotonic
        self._missing: dict[Key, float] = {}  # since when, on the monotonic clock
        self._told: set[Key] = set()
        self._starts: dict[str, tuple[str, float]] = {}  # by address: its start, and when that was seen first
        self._failing = ""
        self._ended = threading.Event()
        self.on_stored: Callable[[], None] = lambda: None
        """Called, on the thread, when something was put into the queue."""
        self.reconciled = 0
        self.failures: dict[str, int] = dict.fromkeys(REASONS, 0)

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, daemon=True, name="relay-reconcile").start()

    def stop(self) -> None:
        """Let the thread end once it is back; does not wait."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.turn()
            self._ended.wait(self._settings.interval)

    def turn(self) -> None:
        """Look once; what goes wrong is logged and counted, and all begins anew. Blocks."""
        try:
            self.look()
        except LookError as err:
            self._fail(err.reason, str(err))
        except (StoreError, StoreFullError, TimeoutError) as err:
            self._fail("store", str(err) or "the database is too slow")
        except Exception as err:  # noqa: BLE001 -- the thread's boundary
            _log.error("reconciling failed by our fault", exc=err)
            self._fail("fault", type(err).__name__)
        else:
            if self._failing:
                _log.info("Alertmanager can be asked again what fires")
            self._failing = ""

    def _fail(self, reason: str, text: str) -> None:
        self._missing.clear()
        if self._ended.is_set():  # the database is closed before this thread ends
            return
        self.failures[reason] += 1
        if text != self._failing:
            _log.warning("cannot find out what fires", reason=reason, error=text)
        self._failing = text

    def look(self) -> None:
        """Ask, and tell what nobody has known for long enough. Raises LookError, StoreError and StoreFullError."""
        knowledge = self._ask(self._urls, self._settings)
        now = self._monotonic()
        # both are asked: each look has to take note of who runs since when
        if not self._are_settled(knowledge, now) or not self._is_heard():
            self._missing.clear()
            return
        wait = max(float(self._settings.missing_for), _PATIENCE * knowledge.group_interval)
        missing, due = dict[Key, float](), list[tuple[Episode, dict[Key, Alert]]]()
        for episode_id, episode in self._open():
            gone = self._gone(episode_id, episode, knowledge, missing, now)
            late = {key: alert for key, alert in gone.items() if now - missing[key] >= wait and key not in self._told}
            if late and len(due) < MAX_GROUPS:
                due.append((episode, late))
        self._missing, self._told = missing, self._told & missing.keys()
        for episode, late in due:
            self._tell(episode, late)

    def _are_settled(self, knowledge: Knowledge, now: float) -> bool:
        """Say whether each runs for long enough: seen to, as its clock may be another."""
        for url, start in knowledge.starts.items():
            if url not in self._starts or self._starts[url][0] != start:
                self._starts[url] = start, now
        return all(now - self._starts[url][1] >= self._settings.up_for for url in self._urls)

    def _open(self) -> Iterator[tuple[int, Episode]]:
        """Yield what fires as far as we have told, page by page."""
        last = -1
        while rows := self._page(last):
            for last, state in rows:
                episode = msgspec.json.decode(state, type=Episode)
                if episode.group_key.startswith(_ALERTMANAGERS):
                    yield last, episode

    def _page(self, last: int) -> list[tuple[int, bytes]]:
        def read(db: sqlite3.Connection) -> list[tuple[int, bytes]]:
            return db.execute(
                "SELECT id, state FROM episodes WHERE status = 'firing' AND id > ? ORDER BY id LIMIT ?", (last, PAGE)
            ).fetchall()

        return self._queue.run(read).result(STORE_SECONDS)

    def _gone(
        self, episode_id: int, episode: Episode, knowledge: Knowledge, missing: dict[Key, float], now: float
    ) -> dict[Key, Alert]:
        """Return the alerts of an episode that nobody knows, and note in `missing` since when."""
        gone = {}
        for alert in episode.firing:
            # one without a fingerprint cannot be looked for
            if not alert.fingerprint or alert.fingerprint in knowledge.fingerprints or len(missing) >= MAX_MISSING:
                continue
            key = Key(episode_id, alert.fingerprint, alert.starts_at)
            missing[key] = self._missing.get(key, now)
            gone[key] = alert
        return gone

    def _tell(self, episode: Episode, late: dict[Key, Alert]) -> None:
        """Put into the queue what Alertmanager would have sent. Raises StoreError, StoreFullError and TimeoutError."""
        now, steady = self._clock(), self._monotonic()
        ended = tuple(_ended(alert, now - (steady - self._missing[key])) for key, alert in late.items())
        snapshot = Snapshot(
            group_key=episode.group_key,
            alerts=ended,
            receiver=episode.receiver,
            status="resolved" if len(ended) == len(episode.firing) else "firing",
            group_labels=episode.group_labels,
            external_url=episode.external_url,
            truncated_alerts=episode.truncated_alerts,
            notification_reason=ENDED_UNSAID,
        )
        arrival = Arrival(
            receiver=episode.receiver,
            group_key=episode.group_key,
            digest=news_digest(snapshot),
            body=msgspec.json.encode(snapshot),
            received=now,
        )
        self._queue.store(arrival).result(STORE_SECONDS)
        self._told |= late.keys()
        self.reconciled += len(late)
        _log.info("ended without a word of Alertmanager's", group=episode.group_key, alerts=len(late))
        self.on_stored()


def _ended(alert: Alert, moment: float) -> Alert:
    """Return an alert as one that ended at `moment` (seconds since 1970), never before it began."""
    seconds = max(moment, alert.began / 1e9)
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return msgspec.structs.replace(alert, status="resolved", ends_at=text)
