"""The tables of the relay's database, and how an older one becomes today's.

snapshots: what waits, in order of arrival; deleted once delivered. groups and episodes: what was told of each group,
with the address of its Slack message. lines: what the thread of that message gets, in order. dead_letters: what nobody
could read or deliver, kept for people. pauses: how long Slack wants to be left alone, over a restart. moments: what
the relay remembers of the Watchdog.
Times are seconds since 1970 unless a name says otherwise.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final


class SchemaError(Exception):
    """The database is of a version that this relay does not know."""


_VERSION_1: Final = """
CREATE TABLE groups (
  id INTEGER PRIMARY KEY,
  receiver TEXT NOT NULL,
  key TEXT NOT NULL,             -- Alertmanager's groupKey: route and group labels
  past BLOB,                     -- JSON: fingerprint to newest startsAt of earlier episodes
  UNIQUE (receiver, key)
);
CREATE TABLE snapshots (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- order of arrival; never used twice
  group_id INTEGER NOT NULL REFERENCES groups (id),
  received REAL NOT NULL,
  digest BLOB NOT NULL,          -- equal for copies from a cluster's peers
  body BLOB NOT NULL,            -- as it came, so that a later version can read more out of it
  attempts INTEGER NOT NULL DEFAULT 0,
  not_before REAL NOT NULL DEFAULT 0
);
CREATE INDEX snapshots_by_group ON snapshots (group_id, id);
CREATE TABLE episodes (
  id INTEGER PRIMARY KEY,
  group_id INTEGER NOT NULL REFERENCES groups (id),
  number INTEGER NOT NULL,       -- counts within the group, from 1
  status TEXT NOT NULL CHECK (status IN ('firing', 'resolved')),
  state BLOB NOT NULL,           -- JSON of the Episode
  received_first REAL NOT NULL,
  received_last REAL NOT NULL,
  last_snapshot INTEGER NOT NULL, -- number of the newest snapshot in it: the order of news, whatever clocks do
  updates INTEGER NOT NULL DEFAULT 1,
  channel TEXT,                  -- Slack's channel ID and ts of the root message, once it is posted
  ts TEXT,
  UNIQUE (group_id, number)
);
CREATE INDEX episodes_by_news ON episodes (status, last_snapshot);
CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  received_first REAL NOT NULL,
  received_last REAL NOT NULL,
  times INTEGER NOT NULL DEFAULT 1,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  digest BLOB NOT NULL UNIQUE,   -- SHA-256 of the body: Alertmanager repeats itself
  body BLOB NOT NULL
);
"""

# what waits for Slack: an episode whose root message shows less than its newest version, and lines that are not sent.
# A mark is the number of a call whose end nobody noted: a crash, or an answer that was cut.
_VERSION_2: Final = """
ALTER TABLE episodes ADD COLUMN version INTEGER NOT NULL DEFAULT 1; -- counts the changes of state
ALTER TABLE episodes ADD COLUMN shown INTEGER NOT NULL DEFAULT 0;   -- the version that the root message shows
ALTER TABLE episodes ADD COLUMN urgency INTEGER NOT NULL DEFAULT 1; -- 0 critical, 1 all else, 2 resolved
ALTER TABLE episodes ADD COLUMN waiting_since REAL;                 -- when the oldest change that is not shown came
ALTER TABLE episodes ADD COLUMN destination TEXT;                   -- the channel it was routed to
ALTER TABLE episodes ADD COLUMN mark TEXT;
ALTER TABLE episodes ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;    -- 1 if the root message may be there twice
UPDATE episodes SET shown = version;
CREATE INDEX episodes_waiting ON episodes (urgency, waiting_since) WHERE shown < version;
CREATE TABLE lines (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in the thread
  episode_id INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
  content BLOB NOT NULL,                -- JSON of the Line
  broadcast INTEGER NOT NULL,           -- 1 if the channel is to see it too
  held INTEGER NOT NULL,                -- 1 if it goes only with a later one
  received REAL NOT NULL,
  sent REAL,
  mark TEXT
);
CREATE INDEX lines_by_episode ON lines (episode_id, id);
CREATE INDEX lines_waiting ON lines (id) WHERE sent IS NULL AND held = 0;
CREATE TABLE pauses (
  what TEXT PRIMARY KEY, -- a method of Slack's
  until REAL NOT NULL,
  seconds REAL NOT NULL  -- its length: a clock that jumped cannot make it longer
);
"""

_VERSION_3: Final = """
CREATE TABLE moments (
  what TEXT PRIMARY KEY,
  moment REAL NOT NULL   -- seconds since 1970
);
"""

# one script per version, in order; a released one is never changed
MIGRATIONS: Final[Sequence[str]] = (_VERSION_1, _VERSION_2, _VERSION_3)


def migrate(db: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the database to the newest version, each step in one transaction with its number (user_version).

    Raises SchemaError if a newer relay wrote it.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise SchemaError(f"written by a newer relay (version {version}, this one knows {len(migrations)})")
    for number, script in enumerate(migrations[version:], start=version + 1):
        # the number is ours: PRAGMA takes no parameters
        db.executescript(f"BEGIN IMMEDIATE;{script}PRAGMA user_version = {number};COMMIT;")
