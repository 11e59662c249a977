"""What the queue's thread does with its tables: rows in, rows out. Each function runs inside a transaction."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from exporter.relay.episodes import Episode, Group
from exporter.relay.intake import Status
from exporter.relay.lines import Change, Line
from exporter.relay.message import tone_of

# one piece of work: so many snapshots of one group, or bytes of them, are folded at once, without holding intake up
MAX_WORK: Final = 100
MAX_WORK_BYTES: Final = 1024 * 1024
# episodes that nobody resolved, because their route is gone: beyond it the oldest are forgotten (never by age, as
# clocks jump)
MAX_FIRING: Final = 10_000
# lines of one thread that are kept for the page once they are sent
MAX_SENT_LINES: Final = 50

_DEPTH: Final = "SELECT (SELECT count(*) FROM snapshots) + (SELECT count(*) FROM episodes WHERE shown < version)"


class StoreFullError(Exception):
    """A bound of the queue is reached; nothing was changed."""


class Arrival(msgspec.Struct, frozen=True):
    """A snapshot as it came."""

    receiver: str
    group_key: str
    digest: bytes
    body: bytes
    received: float


class DeadLetter(msgspec.Struct, frozen=True):
    """A body that nobody could read or deliver."""

    reason: str
    detail: str
    body: bytes
    received: float


class Waiting(msgspec.Struct, frozen=True):
    """A snapshot that waits."""

    id: int
    body: bytes
    received: float


class Work(msgspec.Struct, frozen=True):
    """The snapshots of one group that wait, in order of arrival, and what is known of the group.

    `told` is when its newest episode was last told or told to go on, in seconds since 1970.
    """

    group_id: int
    group: Group
    snapshots: tuple[Waiting, ...]
    told: float | None = None


class Telling(msgspec.Struct, frozen=True):
    """An episode as it is after some snapshots; the number of the newest of them, and when that came.

    `changes` are the lines of its thread, each with the moment its snapshot came.
    """

    episode: Episode
    snapshot_id: int
    received: float
    changes: tuple[tuple[Change, float], ...] = ()
    changed: bool = True
    """Whether its message has to be brought up to date; a mere reminder changes nothing in it."""
    destination: str | None = None


class Told(msgspec.Struct, frozen=True):
    """What became of a piece of work: the group now, and each episode that changed."""

    group: Group
    tellings: tuple[Telling, ...]


class Shown(msgspec.Struct, frozen=True):
    """An episode as it was told last; `delivered` once Slack shows all of it, `lines` its thread so far."""

    id: int
    episode: Episode
    received_first: float
    received_last: float
    updates: int
    delivered: bool = False
    destination: str | None = None
    lines: tuple[Line, ...] = ()


class Stats(msgspec.Struct, frozen=True):
    """The queue in numbers; `oldest_received` in seconds since 1970.

    What waits is a snapshot that is not read yet, a message that shows an old state, or a thread that lacks lines.
    """

    snapshots: int
    messages: int
    threads: int
    oldest_received: float | None
    dead_letters: int
    firing: int

    @property
    def depth(self) -> int:
        """How much waits, all together."""
        return self.snapshots + self.messages + self.threads


def insert(db: sqlite3.Connection, arrival: Arrival, limit: int) -> int:
    """Add a snapshot and return its number. Raises StoreFullError when `limit` of them wait."""
    if db.execute(_DEPTH).fetchone()[0] >= limit:
        raise StoreFullError(f"{limit} snapshots and messages wait")
    names = (arrival.receiver, arrival.group_key)
    db.execute("INSERT INTO groups (receiver, key) VALUES (?, ?) ON CONFLICT DO NOTHING", names)
    (group_id,) = db.execute("SELECT id FROM groups WHERE receiver = ? AND key = ?", names).fetchone()
    row = (group_id, arrival.received, arrival.digest, arrival.body)
    added = db.execute("INSERT INTO snapshots (group_id, received, digest, body) VALUES (?, ?, ?, ?)", row)
    return int(added.lastrowid or 0)


def bury(db: sqlite3.Connection, letter: DeadLetter, limit: int | None) -> None:
    """Keep a dead letter; the same body again only counts. Raises StoreFullError when `limit` others are kept."""
    digest = hashlib.sha256(letter.body).digest()
    again = db.execute(
        "UPDATE dead_letters SET times = times + 1, received_last = ? WHERE digest = ?", (letter.received, digest)
    )
    if again.rowcount:
        return
    if limit is not None and db.execute("SELECT count(*) FROM dead_letters").fetchone()[0] >= limit:
        raise StoreFullError(f"{limit} dead letters are kept")
    db.execute(
        "INSERT INTO dead_letters (received_first, received_last, reason, detail, digest, body) VALUES (?,?,?,?,?,?)",
        (letter.received, letter.received, letter.reason, letter.detail, digest, letter.body),
    )


def oldest_work(db: sqlite3.Connection) -> Work | None:
    """Return the waiting snapshots of the group whose oldest has waited longest."""
    first = db.execute("SELECT group_id FROM snapshots ORDER BY id LIMIT 1").fetchone()
    if first is None:
        return None
    (group_id,) = first
    rows = db.execute(
        "SELECT id, body, received FROM snapshots WHERE group_id = ? ORDER BY id LIMIT ?", (group_id, MAX_WORK)
    )
    group, told = _group(db, group_id)
    return Work(group_id=group_id, group=group, snapshots=tuple(_some(rows)), told=told)


def _some(rows: Iterable[tuple[int, bytes, float]]) -> Iterator[Waiting]:
    """Yield the first snapshot, and the next ones while they are small together."""
    size = 0
    for row in rows:
        size += len(row[1])
        if size > MAX_WORK_BYTES and size > len(row[1]):
            return
        yield Waiting(*row)


def _group(db: sqlite3.Connection, group_id: int) -> tuple[Group, float | None]:
    (past,) = db.execute("SELECT past FROM groups WHERE id = ?", (group_id,)).fetchone()
    row = db.execute(
        # received_last moves with other words, too; an episode without lines is of the database's first version
        "SELECT state, coalesce((SELECT max(received) FROM lines WHERE episode_id = e.id), received_last)"
        " FROM episodes e WHERE group_id = ? ORDER BY number DESC LIMIT 1",
        (group_id,),
    ).fetchone()
    group = Group(
        episode=msgspec.json.decode(row[0], type=Episode) if row else None,
        past=msgspec.json.decode(past, type=Mapping[str, str]) if past else {},
    )
    return group, row[1] if row else None


def settle(db: sqlite3.Connection, work: Work, told: Told, history: int, *, live: bool = True) -> None:
    """Replace the snapshots of `work` by what was told of them, and forget what is old.

    Not `live`, in preview, only what Slack shows or was to show already waits for it; outbox.go_live makes wait what
    else still fires by then.
    """
    _delete(db, work)  # first: a full database has room then for what they come to
    for telling in told.tellings:
        waits = live or concerns_slack(db, work.group_id, telling.episode.number)
        episode_id = _upsert(db, work.group_id, telling)
        _add_lines(db, episode_id, telling, sent=None if waits else telling.received)
        if not waits:
            db.execute("UPDATE episodes SET shown = version, waiting_since = NULL WHERE id = ?", (episode_id,))
    past = msgspec.json.encode(told.group.past)
    db.execute("UPDATE groups SET past = ? WHERE id = ?", (past, work.group_id))
    _forget(db, history)


def concerns_slack(db: sqlite3.Connection, group_id: int, number: int) -> bool:
    """Say whether Slack shows an episode, or was to show it before the preview began."""
    row = db.execute(
        "SELECT ts IS NOT NULL OR shown < version FROM episodes WHERE group_id = ? AND number = ?", (group_id, number)
    ).fetchone()
    return row is not None and bool(row[0])


def _add_lines(db: sqlite3.Connection, episode_id: int, telling: Telling, sent: float | None) -> None:
    db.executemany(
        "INSERT INTO lines (episode_id, content, broadcast, held, received, sent) VALUES (?, ?, ?, ?, ?, ?)",
        (
            (episode_id, msgspec.json.encode(change.line), change.broadcast, change.held, received, sent)
            for change, received in telling.changes
        ),
    )
    db.execute(
        "DELETE FROM lines WHERE episode_id = ? AND sent IS NOT NULL AND id NOT IN"
        " (SELECT id FROM lines WHERE episode_id = ? ORDER BY id DESC LIMIT ?)",
        (episode_id, episode_id, MAX_SENT_LINES),
    )


def give_up(db: sqlite3.Connection, work: Work, reason: str, detail: str) -> None:
    """Turn the snapshots of `work` into dead letters: beyond any limit, as nobody else has them any more."""
    for snapshot in work.snapshots:
        letter = DeadLetter(reason=reason, detail=detail, body=snapshot.body, received=snapshot.received)
        bury(db, letter, limit=None)
    _delete(db, work)


def _delete(db: sqlite3.Connection, work: Work) -> None:
    db.executemany("DELETE FROM snapshots WHERE id = ?", ((snapshot.id,) for snapshot in work.snapshots))


def _upsert(db: sqlite3.Connection, group_id: int, telling: Telling) -> int:
    """Store an episode's newest state and return its id."""
    episode: Episode = telling.episode
    status: Status = episode.status
    urgency = 2 if status == "resolved" else 0 if _is_critical(episode) else 1
    if not telling.changed:
        row = db.execute("SELECT id FROM episodes WHERE group_id = ? AND number = ?", (group_id, episode.number))
        return int(row.fetchone()[0])
    moments = (telling.received, telling.received, telling.received)
    row = db.execute(
        "INSERT INTO episodes (group_id, number, status, state, urgency, destination,"
        " received_first, received_last, waiting_since, last_snapshot) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (group_id, number) DO UPDATE SET status = excluded.status, state = excluded.state,"
        " urgency = excluded.urgency, destination = coalesce(destination, excluded.destination),"
        " received_last = excluded.received_last, waiting_since = coalesce(waiting_since, excluded.waiting_since),"
        " last_snapshot = excluded.last_snapshot, updates = updates + 1, version = version + 1"
        " RETURNING id",
        (
            *(group_id, episode.number, status, msgspec.json.encode(episode), urgency, telling.destination),
            *moments,
            telling.snapshot_id,
        ),
    )
    return int(row.fetchone()[0])


def _is_critical(episode: Episode) -> bool:
    return any(tone_of(alert) == "critical" for alert in episode.firing)


def _forget(db: sqlite3.Connection, history: int) -> None:
    """Keep the newest `history` resolved episodes and MAX_FIRING others; drop groups without anything."""
    gone = 0
    for status, keep in (("resolved", history), ("firing", MAX_FIRING)):
        gone += db.execute(
            # never one that Slack does not show yet
            "DELETE FROM episodes WHERE id IN (SELECT id FROM episodes"
            " WHERE status = ? ORDER BY last_snapshot DESC LIMIT -1 OFFSET ?) AND shown >= version"
            " AND NOT EXISTS (SELECT 1 FROM lines WHERE episode_id = episodes.id AND sent IS NULL AND held = 0)",
            (status, keep),
        ).rowcount
    if gone:
        db.execute(
            "DELETE FROM groups WHERE id NOT IN (SELECT group_id FROM episodes)"
            " AND id NOT IN (SELECT group_id FROM snapshots)"
        )


def recent(db: sqlite3.Connection, limit: int) -> list[Shown]:
    """Return the episodes told last, newest first."""
    rows = db.execute(
        "SELECT id, state, received_first, received_last, updates, ts IS NOT NULL AND shown >= version, destination"
        " FROM episodes ORDER BY last_snapshot DESC, id DESC LIMIT ?",
        (limit,),
    )
    return [
        Shown(
            id=row[0],
            episode=msgspec.json.decode(row[1], type=Episode),
            received_first=row[2],
            received_last=row[3],
            updates=row[4],
            delivered=bool(row[5]),
            destination=row[6],
            lines=_lines(db, row[0]),
        )
        for row in rows.fetchall()
    ]


def _lines(db: sqlite3.Connection, episode_id: int) -> tuple[Line, ...]:
    rows = db.execute("SELECT content FROM lines WHERE episode_id = ? ORDER BY id", (episode_id,))
    return tuple(msgspec.json.decode(row[0], type=Line) for row in rows)


def read_stats(db: sqlite3.Connection) -> Stats:
    """Return the queue in numbers."""
    oldest = db.execute(
        "SELECT min(since) FROM (SELECT min(received) AS since FROM snapshots"
        " UNION ALL SELECT min(waiting_since) FROM episodes WHERE shown < version"
        " UNION ALL SELECT min(received) FROM lines WHERE sent IS NULL AND held = 0)"
    ).fetchone()
    return Stats(
        snapshots=db.execute("SELECT count(*) FROM snapshots").fetchone()[0],
        messages=db.execute("SELECT count(*) FROM episodes WHERE shown < version").fetchone()[0],
        threads=db.execute("SELECT count(DISTINCT episode_id) FROM lines WHERE sent IS NULL AND held = 0").fetchone()[
            0
        ],
        oldest_received=oldest[0] if oldest else None,
        dead_letters=db.execute("SELECT count(*) FROM dead_letters").fetchone()[0],
        firing=db.execute("SELECT count(*) FROM episodes WHERE status = 'firing'").fetchone()[0],
    )
