"""Which containers something happened to: the engine's stream of events, read without a thread and without waiting.

The engine ends the stream by itself after a while (`until`), so that one that nobody reads any more costs it nothing;
before that it is asked for anew, from a little before the last look on: the engine remembers its last 256 events.
"""

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import msgspec

from exporter.clients.docker import Engine, EngineError
from exporter.clients.unix_http import Connection, HttpError, Parser

# what changes more than the list shows; a health check's exec_create, exec_start and exec_die would come all the time
ACTIONS: Final = ("start", "restart", "die", "oom", "update", "health_status")
LEASE_SECONDS: Final = 300.0
OVERLAP_SECONDS: Final = 2.0
# an engine or a proxy that does not let us have events is asked again after this
REFUSED_SECONDS: Final = 60.0
# more than this in one look, some 300 events: the engine drops those of a stream whose reader is 1,000 behind
MAX_BYTES: Final = 128 * 1024

_FILTERS: Final = quote(msgspec.json.encode({"type": ["container"], "event": list(ACTIONS)}).decode())


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID")


class _Event(msgspec.Struct):
    actor: _Actor = msgspec.field(name="Actor")


_EVENT: Final = msgspec.json.Decoder(_Event)


class _LostError(Exception):
    """The stream broke, or so much came that some may be missing: what happened meanwhile is not known."""


class _Stream:
    """One request for events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parser = Parser(2 * MAX_BYTES)
        self._rest = b""
        self.ended = False

    def read(self) -> set[str]:
        """Return the containers named since the last look.

        Raises _LostError; HttpError and msgspec.DecodeError when these are no events.
        """
        size = self._receive()
        if self._parser.status not in (0, 200):
            raise HttpError(f"HTTP {self._parser.status}")
        *lines, self._rest = (self._rest + self._parser.take()).split(b"\n")
        if size > MAX_BYTES:
            raise _LostError
        return {_EVENT.decode(line).actor.id for line in lines if line.strip()}

    def _receive(self) -> int:
        """Take what has arrived, and return how much it was, the rest of the last look included."""
        size = len(self._rest)
        try:
            while not self.ended and size <= MAX_BYTES and (data := self._connection.receive_now()) is not None:
                if data:
                    self._parser.feed(data)
                    size += len(data)
                self.ended = not data or self._parser.is_complete
        except OSError as err:
            raise _LostError from err
        return size

    def close(self) -> None:
        self._connection.close()
        self._parser.close()


class Watch:
    """Tells at each look which containers changed since the last one, or that this is not known."""

    MAX_EARLY_ENDS: Final = 3

    def __init__(self, engine: Engine, wall: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._wall = wall
        self._stream: _Stream | None = None
        self._until = 0.0
        self._looked_at: float | None = None
        self._refused_at: float | None = None
        self._early_ends = 0
        self.trouble: str | None = None
        """Why there are no events, for the log."""

    def look(self, deadline: float) -> set[str] | None:
        """Return the ids of containers that changed, None when any may have. Does not wait for an event.

        Raises EngineError when the engine cannot be connected to.
        """
        now = self._wall()
        before, self._looked_at = self._looked_at, now
        if self._refused_at is not None and 0 <= now - self._refused_at < REFUSED_SECONDS:
            return set()
        found = self._read(self._stream, now) if self._stream is not None else set()
        if self._refused_at == now:
            return None
        if before is None or not 0 <= now - before <= LEASE_SECONDS:  # never yet, too long ago, or a clock set back
            found = None
        if self._stream is None or now > self._until - LEASE_SECONDS / 2:
            self._open(now if before is None or found is None else before, now, deadline)
        return found

    def _read(self, stream: _Stream, now: float) -> set[str] | None:
        """Return what the stream has for us, None when some of it may be lost."""
        try:
            found = stream.read()
        except _LostError:
            self.close()
            return None
        except (HttpError, msgspec.DecodeError, UnicodeDecodeError) as err:
            self._refuse(str(err), now)
            return None
        if not stream.ended:
            self._early_ends, self.trouble = 0, None
            return found
        self.close()
        if now >= self._until:  # by its time
            return found
        self._early_ends += 1  # with its engine
        if self._early_ends >= self.MAX_EARLY_ENDS:
            self._refuse("the stream ends at once", now)
        return None

    def _open(self, since: float, now: float, deadline: float) -> None:
        self.close()
        connection = self._engine.connect(deadline)
        self._until = now + LEASE_SECONDS
        query = f"since={since - OVERLAP_SECONDS:.9f}&until={self._until:.9f}&filters={_FILTERS}"
        try:
            connection.send(f"{self._engine.prefix}/events?{query}", deadline)
        except OSError as err:
            connection.close()
            raise EngineError(f"{self._engine.path}: /events: {err.strerror or err}") from err
        self._stream = _Stream(connection)
        self._refused_at = None

    def _refuse(self, why: str, now: float) -> None:
        self.close()
        self._refused_at = now
        self._early_ends = 0
        self.trouble = f"{self._engine.path}: /events: {why}"

    def close(self) -> None:
        """Give the stream up."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
