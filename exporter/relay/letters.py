"""Dead letters: what nobody could read or deliver, listed, given another try, or discarded. Runs in transactions."""

import base64
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from exporter.relay import outbox, storage
from exporter.relay.episodes import Episode
from exporter.relay.intake import REPLAYED, PayloadError, Snapshot, news_digest, parse_snapshot
from exporter.relay.outbox import Undelivered
from exporter.relay.storage import Arrival

MAX_LISTED: Final = 1000
# so much of a body is listed; replay uses all of it
MAX_SHOWN: Final = 10_000
# so many are forgotten in one transaction: it is to end in a second or two on a slow disk, too
MAX_DISCARDED: Final = 100
# the largest number that a row can have (sqlite.org/datatype3.html)
MAX_ID: Final = 2**63 - 1


class ReplayError(Exception):
    """A letter cannot be tried again; the text says why. It stays."""


class Head(msgspec.Struct, frozen=True):
    """What is known of one dead letter. Moments are seconds since 1970; `times` counts equal bodies."""

    id: int
    reason: str
    detail: str
    times: int
    received_first: float
    received: float
    body_bytes: int


class Letter(Head, frozen=True):
    """One dead letter as it is listed: the beginning of its body, what is no UTF-8 replaced."""

    body: str


class Whole(Head, frozen=True):
    """One dead letter with all of its body, byte for byte: as text, or in base64 where it is no UTF-8."""

    encoding: Literal["utf-8", "base64"]
    body: str


_HEAD: Final = "id, reason, detail, times, received_first, received_last, length(body)"


def listed(db: sqlite3.Connection) -> list[Letter]:
    """Return the dead letters, newest first."""
    rows = db.execute(
        f"SELECT {_HEAD}, substr(body, 1, ?) FROM dead_letters ORDER BY id DESC LIMIT ?",  # noqa: S608 -- a constant
        (MAX_SHOWN, MAX_LISTED),
    )
    return [Letter(**_head(row), body=row[-1].decode(errors="replace")) for row in rows]


def whole(db: sqlite3.Connection, letter: int) -> Whole | None:
    """Return a dead letter with all of its body; None where there is none of that number."""
    query = f"SELECT {_HEAD}, body FROM dead_letters WHERE id = ?"  # noqa: S608 -- a constant
    row = db.execute(query, (letter,)).fetchone()
    if row is None:
        return None
    body: bytes = row[-1]
    try:
        return Whole(**_head(row), encoding="utf-8", body=body.decode())
    except UnicodeDecodeError:
        return Whole(**_head(row), encoding="base64", body=base64.b64encode(body).decode())


def _head(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(Head.__struct_fields__, row, strict=False))


def ids(db: sqlite3.Connection) -> list[int]:
    """Return the numbers of all dead letters, oldest first: in this order they are tried again."""
    return [row[0] for row in db.execute("SELECT id FROM dead_letters ORDER BY id").fetchall()]


def discard(db: sqlite3.Connection, letters: Iterable[int]) -> list[Head]:
    """Forget dead letters; return those that were there."""
    command = f"DELETE FROM dead_letters WHERE id = ? RETURNING {_HEAD}"  # noqa: S608 -- a constant
    return [Head(**_head(row)) for letter in letters for row in db.execute(command, (letter,)).fetchall()]


def replay(db: sqlite3.Connection, letter: int, now: float, limit: int) -> str:
    """Put what a letter holds back into the queue and forget the letter; return why not, or an empty text.

    Raises StoreFullError when `limit` things wait already; it stays then, too.
    """
    try:
        _replay(db, letter, now, limit)
    except ReplayError as err:  # nothing was changed before it: the transaction may go on
        return str(err)
    return ""


def _replay(db: sqlite3.Connection, letter: int, now: float, limit: int) -> None:
    row = db.execute("SELECT reason, body FROM dead_letters WHERE id = ?", (letter,)).fetchone()
    if row is None:
        raise ReplayError("there is no such dead letter")
    reason, body = row
    if reason == "slack":
        _send_again(db, _undelivered(body), now, limit)
    else:
        _read_again(db, body, now, limit)
    db.execute("DELETE FROM dead_letters WHERE id = ?", (letter,))


def _undelivered(body: bytes) -> Undelivered:
    try:
        return msgspec.json.decode(body, type=Undelivered)
    except msgspec.DecodeError as err:
        raise ReplayError(f"cannot be read: {err}") from err


def _read_again(db: sqlite3.Connection, body: bytes, now: float, limit: int) -> None:
    """Take a webhook's body in as if it had come just now, but as old news: it undoes no end."""
    try:
        snapshot = parse_snapshot(body)
    except PayloadError as err:
        raise ReplayError(f"still cannot be read: {err}") from err
    storage.insert(db, _arrival(snapshot, now), limit)


def _send_again(db: sqlite3.Connection, what: Undelivered, now: float, limit: int) -> None:
    """Let an episode's message or lines wait for Slack once more."""
    episode = what.episode
    row = db.execute(
        "SELECT e.id, e.group_id FROM episodes e JOIN groups g ON g.id = e.group_id"
        " WHERE g.receiver = ? AND g.key = ? AND e.number = ?",
        (episode.receiver, episode.group_key, episode.number),
    ).fetchone()
    if row is None and what.lines:
        raise ReplayError("its message is forgotten (limits.history): there is no thread to put it into")
    if row is None:
        storage.insert(db, _arrival(_snapshot(episode), now), limit)
        return
    for line in what.lines:
        outbox.add_note(db, row[1], episode.number, line, now, live=True)
    if not what.lines:
        db.execute(
            "UPDATE episodes SET version = version + 1, waiting_since = coalesce(waiting_since, ?) WHERE id = ?",
            (now, row[0]),
        )


def _snapshot(episode: Episode) -> Snapshot:
    """Return an episode as the webhook that would tell all of it."""
    return Snapshot(
        group_key=episode.group_key,
        alerts=episode.alerts,
        receiver=episode.receiver,
        status=episode.status,
        group_labels=episode.group_labels,
        external_url=episode.external_url,
        truncated_alerts=episode.truncated_alerts,
    )


def _arrival(snapshot: Snapshot, now: float) -> Arrival:
    return Arrival(
        receiver=snapshot.receiver,
        group_key=snapshot.group_key,
        digest=news_digest(snapshot),
        body=msgspec.json.encode(msgspec.structs.replace(snapshot, notification_reason=REPLAYED)),
        received=now,
    )
