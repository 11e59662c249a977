"""The relay's durable queue: SQLite (WAL, synchronous=FULL, mode 0600) behind one thread of its own.

Every call returns a future. What several callers want at once shares one commit, and no future is done before
that commit is on disk. Nothing here is ever shed: what does not fit is refused.
"""

import concurrent.futures
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Full, Queue
from typing import Any, BinaryIO, Final, Generic, TypeVar, cast

from exporter.logs import Log
from exporter.relay import storage
from exporter.relay.schema import SchemaError, migrate
from exporter.relay.settings import Limits
from exporter.relay.storage import Arrival, DeadLetter, Shown, Stats, StoreFullError, Told, Work

_log = Log("exporter.relay.queue")

# callers that wait for one commit, and calls that wait for the thread
MAX_BATCH: Final = 256
MAX_CALLS: Final = 4096
# how old the numbers of the queue may be while it has much to do
STATS_SECONDS: Final = 0.1

T = TypeVar("T")


class QueueError(Exception):
    """The database cannot be used; the text names the file and says why."""


class StoreError(Exception):
    """Something was not stored (disk full, input/output error); to try again later makes sense."""


class _Call(Generic[T]):
    """One thing to do on the thread, and the future of its result."""

    def __init__(self, do: Callable[[sqlite3.Connection], T]) -> None:
        self.do = do
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._result: T
        self._error: Exception | None = None

    def run(self, db: sqlite3.Connection) -> None:
        """Do it; a refusal of ours concerns this call alone and has changed nothing."""
        try:
            self._result, self._error = self.do(db), None
        except StoreFullError as err:
            self._error = err

    def finish(self) -> None:
        """Hand out what `run` got, once it is on disk."""
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)


class DurableQueue:
    """Snapshots on their way from Alertmanager to Slack, and what was told of each group."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Open or create the database `path` and start its thread. Raises QueueError."""
        self._path, self._limits = path, limits
        self._calls: Queue[_Call[Any] | None] = Queue(MAX_CALLS)
        self._closing = threading.Lock()
        self._closed = False
        self._lock_file = _lock(path)
        try:
            self._db = _open(path, limits)
            self.stats: Stats = storage.read_stats(self._db)
        except (sqlite3.Error, SchemaError, OSError) as err:
            self._lock_file.close()
            raise QueueError(f"database {path}: {err}") from err
        self._counted, self._stale, self._countable = time.monotonic(), False, True
        self.failures = 0
        # rows changed since the connection was opened, SQLite's count: tells a commit that wrote from one that read
        self._changes = self._db.total_changes
        self.writable = True
        self._thread = threading.Thread(target=self._work, name="relay-queue", daemon=True)
        self._thread.start()

    def store(self, arrival: Arrival) -> "concurrent.futures.Future[int]":
        """Keep a snapshot; the future holds its number once it is on disk, or StoreFullError or StoreError."""
        limit = self._limits.queue_snapshots
        return self._call(lambda db: storage.insert(db, arrival, limit))

    def bury(self, letter: DeadLetter) -> "concurrent.futures.Future[None]":
        """Keep what nobody could read; StoreFullError when there are too many such already."""
        limit = self._limits.dead_letters
        return self._call(lambda db: storage.bury(db, letter, limit))

    def take(self) -> "concurrent.futures.Future[Work | None]":
        """Return the waiting snapshots of the group that has waited longest; None if nothing waits."""
        return self._call(storage.oldest_work)

    def settling(self, work: Work, told: Told, *, live: bool) -> Callable[[sqlite3.Connection], None]:
        """Return what forgets the snapshots of `work` and keeps what was told, for `run`."""
        history = self._limits.history
        return lambda db: storage.settle(db, work, told, history, live=live)

    def run(self, do: Callable[[sqlite3.Connection], T]) -> "concurrent.futures.Future[T]":
        """Run `do` in a transaction; the future holds its result once that is on disk, or StoreError."""
        return self._call(do)

    def give_up(self, work: Work, reason: str, detail: str) -> "concurrent.futures.Future[None]":
        """Move the snapshots of `work` to the dead letters, whatever their number."""
        return self._call(lambda db: storage.give_up(db, work, reason, detail))

    def recent(self, limit: int) -> "concurrent.futures.Future[list[Shown]]":
        """Return what was told last, newest first."""
        return self._call(lambda db: storage.recent(db, limit))

    def close(self, timeout: float = 1.0) -> bool:
        """Finish what was asked for and close the database; False if a stuck disk did not let it within `timeout`."""
        with self._closing:
            if not self._closed:
                try:
                    self._calls.put(None, timeout=timeout)
                except Full:
                    return False
                self._closed = True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _call(self, do: Callable[[sqlite3.Connection], T]) -> "concurrent.futures.Future[T]":
        call = _Call(do)
        with self._closing:
            if self._closed:
                raise StoreError("the queue is closed")
            try:
                self._calls.put_nowait(call)
            except Full as err:
                raise StoreFullError(f"{MAX_CALLS} calls wait for the disk") from err
        return call.future

    def _work(self) -> None:
        """Run calls until told to end: the one place where the database is touched."""
        while batch := self._next_batch():
            calls = [call for call in batch if call is not None and call.future.set_running_or_notify_cancel()]
            self._run(calls)
            if batch[-1] is None:
                break
        self._db.close()
        self._lock_file.close()

    def _next_batch(self) -> list[_Call[Any] | None]:
        """Wait for a call; return it with all that came meanwhile. None at its end says that it is the last."""
        batch = [self._calls.get()]
        while batch[-1] is not None and len(batch) < MAX_BATCH and not self._calls.empty():
            batch.append(self._calls.get())
        return batch

    def _run(self, calls: list[_Call[Any]]) -> None:
        """Run the calls in one transaction; if that fails, each in one of its own, so that only the guilty fail."""
        if not calls:
            return
        try:
            self._commit(calls)
        except Exception as err:  # noqa: BLE001 -- the boundary: each caller gets the error of its own call
            if len(calls) > 1:
                for call in calls:
                    self._run([call])
                return
            self._fail(calls[0], err)
            return
        for call in calls:
            call.finish()

    def _commit(self, calls: list[_Call[Any]]) -> None:
        try:
            self._db.execute("BEGIN")
            for call in calls:
                call.run(self._db)
            changed = self._db.total_changes
            self._db.execute("COMMIT")
        except BaseException:
            # a full disk has rolled back already
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        if changed != self._changes:
            self._changes, self.writable = changed, True
            self._stale = True
        # counting takes as long as a commit: under load not after each
        if self._stale and (self._calls.empty() or time.monotonic() > self._counted + STATS_SECONDS):
            self._count()

    def _count(self) -> None:
        """Read the numbers of the queue; where that fails the old ones stay: what is committed is not done again."""
        self._counted = time.monotonic()
        try:
            self.stats, self._stale, self._countable = storage.read_stats(self._db), False, True
        except sqlite3.Error as err:
            if self._countable:  # told when it begins
                _log.error("queue could not be counted", file=str(self._path), error=str(err))
            self._countable = False

    def _fail(self, call: _Call[Any], err: Exception) -> None:
        self.failures += 1
        if self.writable:  # told when it begins, not for each webhook
            _log.error("database failed", file=str(self._path), error=str(err), exc=err)
        self.writable = False
        self._changes = self._db.total_changes
        wrapped = StoreError(f"database: {err}")
        wrapped.__cause__ = err
        call.future.set_exception(wrapped)


def _lock(path: Path) -> BinaryIO:
    """Return a held lock beside the database: two relays on one would each tell half of the news."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # never the database itself: closing any descriptor of it would drop SQLite's own locks
        lock = cast("BinaryIO", os.fdopen(os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b"))
    except OSError as err:
        raise QueueError(f"database {path}: {err.strerror}: {err.filename}") from err
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        lock.close()
        raise QueueError(f"database {path}: another relay uses it") from err
    return lock


def _open(path: Path, limits: Limits) -> sqlite3.Connection:
    """Return a connection to the database, its file readable by its owner only; WAL and index take over the mode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("PRAGMA journal_size_limit=16777216")
        migrate(db)
        size: int = db.execute("PRAGMA page_size").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={max(1, limits.database_bytes // size)}")
    except BaseException:
        db.close()
        raise
    return db
