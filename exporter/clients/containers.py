"""The containers of one engine, kept up to date with few questions: the list each time, the rest where it changed."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from exporter.clients.docker import BadAnswerError, Engine, EngineError, EngineTimeoutError, Inspected, Listed
from exporter.clients.docker_events import Watch
from exporter.logs import Log

log = Log(__name__)

NO_NAME: Final = "<none>"
_SHORT_DIGEST: Final = len("sha256:") + 12
_HEX: Final = frozenset("0123456789abcdef")
# Podman's words for what Docker calls so
_STATES: Final = {"configured": "created", "initialized": "created", "stopped": "exited", "stopping": "running"}


class Container(NamedTuple):
    """One container now."""

    id: str
    name: str
    image: str
    """Without tag and digest, so that a new version is the same image."""
    version: str
    state: str
    created: int
    """Seconds since the epoch."""
    labels: bytes
    """JSON, empty where labels are not wanted."""
    detail: Inspected | None
    """None while it is not known: the engine has not answered yet."""


class _Entry:
    """What is remembered of a container."""

    __slots__ = ("changed", "detail", "doubtful", "image", "inspected_at", "retry_at", "seen")

    def __init__(self) -> None:
        self.detail: Inspected | None = None
        self.seen = ("", "")
        """State and hint of the list when `detail` was asked for."""
        self.changed = True
        """Whether something happened since, so that `detail` tells of the past."""
        self.doubtful = False
        self.image: tuple[str, str] | None = None
        self.inspected_at = 0.0
        self.retry_at = 0.0


class Containers:
    """All containers of the engine behind a socket, exited ones included. For one thread."""

    MAX_INSPECTS: Final = 200
    # after this no further question, so that a scrape with 2,000 new containers stays below a second
    INSPECT_SECONDS: Final = 0.3
    # what the last one gets beyond it: an engine that is asked late has not been slow
    ANSWER_SECONDS: Final = 0.2
    # in case that an event got lost
    REFRESH_SECONDS: Final = 3600.0
    # an engine can hang on one container for ever and answer for all others
    RETRY_SECONDS: Final = 60.0

    def __init__(
        self,
        path: str,
        *,
        labels: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take the socket, whether container labels are wanted, and clocks: to retry by, and the engine's."""
        self._engine = Engine(path)
        self._watch = Watch(self._engine, wall)
        self._labels = labels
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._last: list[Container] = []
        self._told: set[str] = set()

    def read(self, timeout: float) -> Sequence[Container]:
        """Return the containers, in the order of the engine; the same object while nothing changed.

        Blocks for `timeout` seconds at most. Raises EngineError when there is no list to be had.
        """
        deadline = time.monotonic() + timeout
        listed = self._engine.list_containers(deadline)
        self._entries = {one.id: self._entries.get(one.id) or _Entry() for one in listed}
        self._note(listed, self._watch.look(deadline))
        states = self._inspect(listed, deadline)
        containers = list(self._containers(listed, states))
        if containers != self._last:
            self._last = containers
        return self._last

    def close(self) -> None:
        """Close the connections; the next read opens them again and trusts nothing from before."""
        self._engine.close()
        self._watch.close()

    def _note(self, listed: Sequence[Listed], changed: set[str] | None) -> None:
        """Mark the containers that events name, and those whose state, exit code or health the list has anew."""
        for one in listed:
            entry = self._entries[one.id]
            seen = one.state, one.hint
            if changed is None:
                entry.doubtful = True
            if entry.seen != seen or (changed and one.id in changed):
                entry.changed = True
                entry.seen = seen
                entry.retry_at = 0.0

    def _inspect(self, listed: Sequence[Listed], deadline: float) -> dict[str, str | None]:
        """Ask for what is due, as long as time lasts; return the states that were found, None for what is gone."""
        states: dict[str, str | None] = {}
        troubles = {self._watch.trouble} - {None}
        last_question = time.monotonic() + self.INSPECT_SECONDS
        deadline = min(deadline, last_question + self.ANSWER_SECONDS)
        for one in islice(self._due(listed), self.MAX_INSPECTS):
            entry = self._entries[one.id]
            if time.monotonic() >= min(last_question, deadline):
                break
            try:
                detail = self._engine.inspect(one.id, deadline)
            except (EngineTimeoutError, BadAnswerError) as err:
                troubles.add(str(err))
                entry.retry_at = self._clock() + self.RETRY_SECONDS
                if isinstance(err, EngineTimeoutError):
                    break
                continue
            except EngineError as err:  # the engine ended just now: the next list will tell
                troubles.add(str(err))
                break
            states[one.id] = detail.state.status if detail is not None else None
            entry.detail = detail
            entry.changed = entry.doubtful = False
            entry.inspected_at = self._clock()
        self._tell({text for text in troubles if text is not None})
        return states

    def _due(self, listed: Sequence[Listed]) -> Iterator[Listed]:
        """Return the containers to inspect: changed ones, new ones, doubtful ones, one that was not for long."""
        now = self._clock()
        changed: list[Listed] = []
        new: list[Listed] = []
        doubtful: list[Listed] = []
        old: list[Listed] = []
        for one in listed:
            entry = self._entries[one.id]
            if entry.retry_at > now:
                continue
            if entry.changed:
                (new if entry.detail is None else changed).append(one)
            elif entry.doubtful:
                doubtful.append(one)
            elif not old and now - entry.inspected_at > self.REFRESH_SECONDS:
                old.append(one)
        return chain(changed, new, doubtful, old)

    def _containers(self, listed: Sequence[Listed], states: dict[str, str | None]) -> Iterator[Container]:
        for one in listed:
            entry, name = self._entries[one.id], one.name
            state = states.get(one.id, one.state)
            if name is None or state is None:  # no name any more, or gone between two questions
                continue
            image = entry.image or self._image(one, entry)
            yield Container(
                one.id,
                name,
                *image,
                _STATES.get(state, state),
                one.created,
                bytes(one.labels) if self._labels else b"",
                None if entry.changed else entry.detail,
            )

    def _image(self, one: Listed, entry: _Entry) -> tuple[str, str]:
        """Return image and version. A container keeps its image: a name once known stays, whoever gets it later."""
        asked = entry.detail.config.image if entry.detail is not None else ""
        for reference in (one.image, asked):
            if reference and not is_image_id(reference, one.image_id):
                entry.image = parse_image(reference)
                return entry.image
        return NO_NAME, (one.image_id or one.image)[:_SHORT_DIGEST]

    def _tell(self, troubles: set[str]) -> None:
        """Log what is new among the troubles that cost some rows only."""
        for text in sorted(troubles - self._told):
            log.warning("the container engine left a question unanswered", error=text)
        self._told = troubles


def is_image_id(reference: str, image_id: str) -> bool:
    """Whether an image is named by nothing but its id, as where its tag went to a newer one."""
    if reference.startswith("sha256:"):
        return True
    return len(reference) >= 12 and set(reference) <= _HEX and image_id.removeprefix("sha256:").startswith(reference)


def parse_image(reference: str) -> tuple[str, str]:
    """Return an image reference as name and version: the tag, else the digest (12 digits of it), else latest.

    The name keeps its registry, port included: `registry:5000/team/app:1.2` is `registry:5000/team/app`, `1.2`.
    """
    name, _, digest = reference.partition("@")
    head, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return name, digest[:_SHORT_DIGEST] or "latest"
