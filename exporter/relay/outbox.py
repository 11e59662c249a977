"""What waits for Slack, and what became of it: the tables' side of the delivery. Each function runs in a transaction.

A call is marked on disk before it is made, in the same commit that decides on it. A mark that is still there when the
next call is decided on means that nobody knows whether Slack took the last one.
"""

import json
import sqlite3
from collections.abc import Callable, Collection
from typing import Final, Literal

import msgspec

from exporter.relay.episodes import Episode
from exporter.relay.lines import Line, fitting
from exporter.relay.storage import DeadLetter, bury, concerns_slack

What = Literal["post", "update", "lines"]

# one thread message takes no more lines than these
MAX_LINES: Final = 40


class Job(msgspec.Struct, frozen=True):
    """One call to make: for an episode's root message, or for lines of its thread."""

    what: What
    episode_id: int
    group_id: int
    episode: Episode
    version: int
    waiting_since: float
    """When the oldest news in it came, in seconds since 1970."""
    mark: str
    again: bool
    """Whether an earlier call with this mark may have been taken by Slack already."""
    destination: str | None
    channel: str | None = None
    ts: str | None = None
    copied: bool = False
    """Whether the root message stands there as a copy already."""
    continues: bool = False
    """Whether an earlier root message stands there that could not be changed any more."""
    lines: tuple[Line, ...] = ()
    line_ids: tuple[int, ...] = ()
    broadcast: bool = False


class Undelivered(msgspec.Struct, frozen=True):
    """The body of a dead letter of Slack's: an episode whose message, or the lines of whose thread, it refused."""

    episode: Episode
    lines: tuple[Line, ...] = ()


class Closed(msgspec.Struct, frozen=True):
    """What cannot be called now: groups that are being served, episodes that failed, channels and methods that wait."""

    groups: Collection[int] = ()
    episodes: Collection[int] = ()
    channels: Collection[str] = ()
    posts: bool = False
    updates: bool = False
    last: Collection[int] = ()
    """Episodes that all others go before."""


# an earlier episode of the same group goes first: order per group
_IN_TURN: Final = (
    " AND NOT EXISTS (SELECT 1 FROM episodes o WHERE o.group_id = e.group_id AND o.number < e.number"
    " AND o.shown < o.version)"
)
_OPEN: Final = (
    " AND e.group_id NOT IN (SELECT value FROM json_each(:groups))"
    " AND e.id NOT IN (SELECT value FROM json_each(:episodes))"
)
_IN_OPEN_CHANNEL: Final = (
    " AND coalesce(e.destination, '') NOT IN (SELECT value FROM json_each(:channels))"
    " AND coalesce(e.channel, '') NOT IN (SELECT value FROM json_each(:channels))"
)
_COLUMNS: Final = (
    "e.id, e.group_id, e.state, e.version, e.waiting_since, e.mark, e.destination, e.channel, e.ts, e.copied"
)
# what the column copied holds of a root message: that it is a copy, and that it goes on from an earlier one
_COPY: Final = 1
_CONTINUES: Final = 2
_BY_URGENCY: Final = " ORDER BY e.urgency, e.waiting_since, e.id LIMIT 1"


def go_live(db: sqlite3.Connection) -> None:
    """Let what fires and was only previewed wait for Slack; what is over is not told any more."""
    db.execute(
        "UPDATE episodes SET shown = version - 1, waiting_since = received_last"
        " WHERE status = 'firing' AND ts IS NULL AND shown >= version"
    )


def start(db: sqlite3.Connection, closed: Closed, new_mark: str) -> Job | None:
    """Return the next call to make, marked as begun with `new_mark` or the mark it has; None when none may go now."""
    names = {
        "groups": json.dumps(list(closed.groups)),
        "episodes": json.dumps([*closed.episodes, *closed.last]),
        "channels": json.dumps(list(closed.channels)),
    }
    job = _next(db, closed, names, new_mark)
    if job is None and closed.last:
        job = _next(db, closed, names | {"episodes": json.dumps(list(closed.episodes))}, new_mark)
    return job


def _next(db: sqlite3.Connection, closed: Closed, names: dict[str, str], new_mark: str) -> Job | None:
    job = None
    if not closed.posts:
        job = _root(db, "post", "e.ts IS NULL" + _IN_OPEN_CHANNEL, names, new_mark)
    if job is None and not closed.updates:
        job = _root(db, "update", "e.ts IS NOT NULL", names, new_mark)
    if job is None and not closed.posts:
        job = _thread(db, names, new_mark)
    return job


def _root(db: sqlite3.Connection, what: What, which: str, names: dict[str, str], new_mark: str) -> Job | None:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM episodes e WHERE e.shown < e.version AND {which}"  # noqa: S608 -- our own words
        f"{_OPEN}{_IN_TURN}{_BY_URGENCY}",
        names,
    ).fetchone()
    if row is None:
        return None
    job = _job(what, row, new_mark)
    if what == "post" and not job.again:
        db.execute("UPDATE episodes SET mark = ? WHERE id = ?", (job.mark, job.episode_id))
    return job


def _job(what: What, row: tuple[int, int, bytes, int, float, str, str, str, str, int], new_mark: str) -> Job:
    id_, group_id, state, version, since, mark, destination, channel, ts, copied = row
    return Job(
        what=what,
        episode_id=id_,
        group_id=group_id,
        episode=msgspec.json.decode(state, type=Episode),
        version=version,
        waiting_since=since or 0.0,
        mark=mark or new_mark,
        again=mark is not None,
        destination=destination,
        channel=channel,
        ts=ts,
        copied=bool(copied & _COPY),
        continues=bool(copied & _CONTINUES),
    )


def _thread(db: sqlite3.Connection, names: dict[str, str], new_mark: str) -> Job | None:
    """Return the lines that wait longest, where the root message is up to date."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM lines l JOIN episodes e ON e.id = l.episode_id"  # noqa: S608 -- our own words
        " WHERE l.sent IS NULL AND l.held = 0 AND e.ts IS NOT NULL AND e.shown >= e.version"
        f"{_OPEN}{_IN_OPEN_CHANNEL} ORDER BY l.broadcast DESC, l.id LIMIT 1",
        names,
    ).fetchone()
    if row is None:
        return None
    job = _job("lines", row, new_mark)
    rows = db.execute(
        "SELECT id, content, broadcast, received, mark, held FROM lines WHERE episode_id = ? AND sent IS NULL"
        " ORDER BY id LIMIT ?",
        (job.episode_id, MAX_LINES),
    ).fetchall()
    # what may have gone already goes again alone, so that the copy can say so
    marked = rows[0][4]
    rows = [one for one in rows if one[4] == marked]
    while rows and rows[-1][5] and not marked:  # a held line waits for a later one
        rows.pop()
    lines = tuple(msgspec.json.decode(one[1], type=Line) for one in rows)
    rows = rows[: len(fitting(lines))]
    mark = marked or new_mark
    ids = tuple(one[0] for one in rows)
    if not marked:
        db.executemany("UPDATE lines SET mark = ? WHERE id = ?", ((mark, id_) for id_ in ids))
    return msgspec.structs.replace(
        job,
        mark=mark,
        again=marked is not None,
        lines=lines[: len(rows)],
        line_ids=ids,
        broadcast=any(one[2] for one in rows),
        # a held line waited for the later one, not for Slack
        waiting_since=min((one[3] for one in rows if not one[5]), default=rows[0][3]),
    )


def add_note(db: sqlite3.Connection, group_id: int, number: int, line: Line, received: float, *, live: bool) -> bool:
    """Add a line to the thread of a group's episode; not `live`, in preview, it waits only where Slack has the message.

    Returns False if that episode is forgotten already.
    """
    row = db.execute("SELECT id FROM episodes WHERE group_id = ? AND number = ?", (group_id, number)).fetchone()
    if row is None:
        return False
    db.execute(
        "INSERT INTO lines (episode_id, content, broadcast, held, received, sent) VALUES (?, ?, 0, 0, ?, ?)",
        (
            row[0],
            msgspec.json.encode(line),
            received,
            None if live or concerns_slack(db, group_id, number) else received,
        ),
    )
    return True


def posted(db: sqlite3.Connection, job: Job, channel: str, ts: str, destination: str) -> None:
    """Note that the root message stands in a channel and shows the job's version."""
    db.execute(
        "UPDATE episodes SET channel = ?, ts = ?, destination = ?, mark = NULL, copied = copied | ? WHERE id = ?",
        (channel, ts, destination, _COPY if job.again else 0, job.episode_id),
    )
    shown(db, job)


def shown(db: sqlite3.Connection, job: Job) -> None:
    """Note that the root message shows the job's version."""
    db.execute(
        "UPDATE episodes SET shown = max(shown, :version),"
        " waiting_since = CASE WHEN version > :version THEN received_last END WHERE id = :id",
        {"version": job.version, "id": job.episode_id},
    )


def sent(db: sqlite3.Connection, job: Job, now: float) -> None:
    """Note that the job's lines stand in the thread."""
    db.executemany("UPDATE lines SET sent = ?, mark = NULL WHERE id = ?", ((now, id_) for id_ in job.line_ids))


def not_taken(db: sqlite3.Connection, job: Job) -> None:
    """Note that Slack refused a call, so that the next one is no copy; one that follows an unclear call stays one."""
    if job.again:
        return
    db.execute("UPDATE episodes SET mark = NULL WHERE id = ? AND mark = ?", (job.episode_id, job.mark))
    db.executemany("UPDATE lines SET mark = NULL WHERE id = ?", ((id_,) for id_ in job.line_ids))


def gone(db: sqlite3.Connection, job: Job, *, stands: bool = False) -> None:
    """Note that the root message is no longer there, or `stands` there and cannot be changed: it is posted anew."""
    db.execute(
        "UPDATE episodes SET channel = NULL, ts = NULL, mark = NULL, shown = min(shown, version - 1),"
        " copied = copied | ?, waiting_since = coalesce(waiting_since, received_last) WHERE id = ?",
        (_CONTINUES if stands else 0, job.episode_id),
    )
    not_taken(db, job)


def route_waiting(db: sqlite3.Connection, route: Callable[[Episode], str | None]) -> None:
    """Give a channel to what was folded while nobody knew one, so that it keeps that channel's pace."""
    rows = db.execute(
        "SELECT id, state FROM episodes WHERE shown < version AND destination IS NULL AND ts IS NULL"
    ).fetchall()
    found = ((route(msgspec.json.decode(state, type=Episode)), id_) for id_, state in rows)
    db.executemany("UPDATE episodes SET destination = ? WHERE id = ?", (row for row in found if row[0] is not None))


def move(db: sqlite3.Connection, job: Job, destination: str) -> None:
    """Send an episode that is not posted yet to another channel."""
    db.execute("UPDATE episodes SET destination = ? WHERE id = ? AND ts IS NULL", (destination, job.episode_id))


def pause(db: sqlite3.Connection, what: str, now: float, seconds: float) -> None:
    """Keep over a restart how long Slack wants to be left alone."""
    db.execute("INSERT OR REPLACE INTO pauses (what, until, seconds) VALUES (?, ?, ?)", (what, now + seconds, seconds))


def pauses(db: sqlite3.Connection, now: float) -> dict[str, float]:
    """Return the methods that are to be left alone, and for how many seconds more."""
    rows = db.execute("SELECT what, until, seconds FROM pauses").fetchall()
    db.execute("DELETE FROM pauses WHERE until <= ?", (now,))
    left = {what: min(until - now, seconds) for what, until, seconds in rows}
    return {what: seconds for what, seconds in left.items() if seconds > 0}


def undeliverable(db: sqlite3.Connection, job: Job, code: str, now: float) -> None:
    """Turn what Slack refuses for its form into a dead letter, whatever their number: nobody else has it any more."""
    body = msgspec.json.encode(Undelivered(job.episode, job.lines))
    if job.what == "lines":
        sent(db, job, now)
    else:
        shown(db, job)
        db.execute("UPDATE episodes SET mark = NULL WHERE id = ?", (job.episode_id,))
    bury(db, DeadLetter(reason="slack", detail=code, body=body, received=now), limit=None)
