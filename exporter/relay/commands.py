"""What `hostwatch relay dead-letters`, `replay` and `discard` do: over a running relay, or on its idle database."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from exporter.relay import letters
from exporter.relay.client import AnswerError, RelayClient
from exporter.relay.queue import DurableQueue, QueueError, StoreError
from exporter.relay.settings import Relay
from exporter.relay.storage import StoreFullError
from exporter.relay.token import TokenError, read_token

DATABASE_SECONDS: Final = 10.0

Discarded: TypeAlias = dict[str, Any] | None
"""A letter as the relay tells it (letters.Head or letters.Whole); None where there is none of that number."""
Keep: TypeAlias = Callable[[dict[str, Any]], None]


class CommandError(Exception):
    """A command cannot do its work; `code` is its exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def dead_letters(settings: Relay) -> list[dict[str, Any]]:
    """Return all dead letters, newest first. Raises CommandError, AnswerError and NotRunningError."""
    relay = _running(settings)
    if relay is not None:
        found: list[dict[str, Any]] = relay.get("/api/v1/dead-letters")["dead_letters"]
        return found
    with _database(settings) as queue:
        return [msgspec.to_builtins(one) for one in queue.run(letters.listed).result(DATABASE_SECONDS)]


def replay(settings: Relay, wanted: Sequence[int], *, everything: bool) -> list[tuple[int, str]]:
    """Try dead letters again; return each number with what went wrong, or an empty text.

    Raises CommandError, AnswerError and NotRunningError.
    """
    relay = _running(settings)
    if relay is not None:
        asked = {"all": True} if everything else {"ids": list(wanted)}
        rows = relay.post("/api/v1/dead-letters/replay", asked)["replayed"]
        return [(row["id"], row["error"]) for row in rows]
    with _database(settings) as queue:
        ids = queue.run(letters.ids).result(DATABASE_SECONDS) if everything else wanted
        return [(one, _replay(queue, one, settings.limits.queue_snapshots)) for one in ids]


def numbers(settings: Relay) -> list[int]:
    """Return the numbers of all dead letters, oldest first. Raises CommandError, AnswerError and NotRunningError."""
    with _letters(settings) as there:
        return there.numbers()


def discard(settings: Relay, unwanted: Sequence[int], keep: Keep | None = None) -> Iterator[tuple[int, Discarded]]:
    """Forget dead letters; yield each number with what is known of the letter, or None where there is none.

    Each is given to `keep` before it is forgotten; one that `keep` raises for stays, and those behind it.
    Raises CommandError, AnswerError and NotRunningError.
    """
    ids = list(dict.fromkeys(unwanted))
    with _letters(settings) as there:
        for begin in range(0, len(ids), letters.MAX_DISCARDED):
            some = ids[begin : begin + letters.MAX_DISCARDED]
            if keep is not None:
                for letter in filter(None, map(there.whole, some)):
                    keep(letter)
            gone = {one["id"]: one for one in there.discard(some)}
            yield from ((one, gone.get(one)) for one in some)


class _Letters(Protocol):
    """The dead letters, wherever they are reached."""

    def numbers(self) -> list[int]: ...
    def whole(self, letter: int) -> Discarded: ...
    def discard(self, unwanted: Sequence[int]) -> list[dict[str, Any]]: ...


class _Running:
    """Those of a relay that runs."""

    def __init__(self, relay: RelayClient) -> None:
        self._relay = relay

    def numbers(self) -> list[int]:
        found: list[int] = self._relay.get("/api/v1/dead-letters/ids")["ids"]
        return found

    def whole(self, letter: int) -> Discarded:
        try:
            found: dict[str, Any] = self._relay.get(f"/api/v1/dead-letters/{letter}")
        except AnswerError as err:
            if err.status == 404:
                return None
            raise
        return found

    def discard(self, unwanted: Sequence[int]) -> list[dict[str, Any]]:
        answer = self._relay.post("/api/v1/dead-letters/discard", {"ids": list(unwanted)})
        gone: list[dict[str, Any]] = answer["discarded"]
        return gone


class _Idle:
    """Those of a database that no relay has open."""

    def __init__(self, queue: DurableQueue) -> None:
        self._queue = queue

    def numbers(self) -> list[int]:
        return self._queue.run(letters.ids).result(DATABASE_SECONDS)

    def whole(self, letter: int) -> Discarded:
        found = self._queue.run(lambda db: letters.whole(db, letter)).result(DATABASE_SECONDS)
        return None if found is None else msgspec.to_builtins(found)

    def discard(self, unwanted: Sequence[int]) -> list[dict[str, Any]]:
        gone = self._queue.run(lambda db: letters.discard(db, unwanted)).result(DATABASE_SECONDS)
        return [msgspec.to_builtins(one) for one in gone]


@contextmanager
def _letters(settings: Relay) -> Iterator[_Letters]:
    """Yield the dead letters of these settings' relay. Raises CommandError and AnswerError."""
    relay = _running(settings)
    if relay is not None:
        yield _Running(relay)
        return
    with _database(settings) as queue:
        yield _Idle(queue)


def _replay(queue: DurableQueue, letter: int, limit: int) -> str:
    now = time.time()
    try:
        return queue.run(lambda db: letters.replay(db, letter, now, limit)).result(DATABASE_SECONDS)
    except StoreFullError as err:
        return f"the queue is full: {err}"


def _running(settings: Relay) -> RelayClient | None:
    """Return the relay that runs with these settings; None when none does."""
    if settings.token_file is None:
        raise CommandError("token_file: not set; name the file that holds the webhook's token", 2)
    try:
        token = read_token(Path(settings.token_file))
    except TokenError as err:
        raise CommandError(str(err), 2) from err
    relay = RelayClient(settings.listen, token)
    return relay if relay.is_running() else None


@contextmanager
def _database(settings: Relay) -> Iterator[DurableQueue]:
    """Yield the relay's queue while no relay has it. Raises CommandError."""
    path = Path(settings.database)
    if not path.exists():
        raise CommandError(f"no relay runs on {settings.listen}, and there is no database {path}")
    try:
        queue = DurableQueue(path, settings.limits)
    except QueueError as err:
        raise CommandError(str(err)) from err
    try:
        yield queue
    except (StoreError, TimeoutError) as err:
        raise CommandError(f"database {path}: {err or 'no answer in time'}") from err
    finally:
        queue.close()
