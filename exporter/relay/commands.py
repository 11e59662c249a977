"""What `hostwatch relay dead-letters` and `replay` do: over a running relay, or on its database where none runs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from exporter.relay import letters
from exporter.relay.client import RelayClient
from exporter.relay.queue import DurableQueue, QueueError, StoreError
from exporter.relay.settings import Relay
from exporter.relay.storage import StoreFullError
from exporter.relay.token import TokenError, read_token

DATABASE_SECONDS: Final = 10.0

T = TypeVar("T")


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
