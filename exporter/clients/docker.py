"""What a Docker Engine tells of its containers, over its Unix socket (Docker Engine API 1.24 and later).

Podman's socket answers the same questions in the same words, as far as they are asked here.
"""

import errno
from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec

from exporter.clients.unix_http import Connection, HttpError

OLDEST: Final = (1, 24)
# what this was written against; a newer engine answers as it did then
NEWEST: Final = (1, 51)
_ZERO_YEAR: Final = 1
_LIST: Final = "/containers/json?all=1"

T = TypeVar("T")


class EngineError(Exception):
    """The engine does not answer as it should; the text names its socket and what was asked."""


class NoEngineError(EngineError):
    """There is no such socket."""


class NoPermissionError(EngineError):
    """The socket is there, and closed to us."""


class EngineTimeoutError(EngineError):
    """The answer did not come in time."""


class BadAnswerError(EngineError):
    """The answer is whole, and not what it should be."""


class RefusedError(BadAnswerError):
    """The engine answered with an HTTP status other than 200."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Listed(msgspec.Struct, frozen=True, gc=False):
    """One container of the list."""

    # it goes into the target of a question and into paths
    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{12,64}\Z")] = msgspec.field(name="Id")
    state: str = msgspec.field(name="State")
    names: list[str] | None = msgspec.field(name="Names", default=None)
    image: str = msgspec.field(name="Image", default="")
    image_id: str = msgspec.field(name="ImageID", default="")
    created: int = msgspec.field(name="Created", default=0)
    """Seconds since the epoch."""
    status: str = msgspec.field(name="Status", default="")
    """A sentence for people: "Up 6 seconds (unhealthy)"."""
    labels: msgspec.Raw = msgspec.field(name="Labels", default=msgspec.Raw(b"null"))

    @property
    def name(self) -> str | None:
        """The container's own name; others are those that it has in linked containers ("/web/db")."""
        own = [name[1:] for name in self.names or () if name.startswith("/") and "/" not in name[1:]]
        return own[0] if own and own[0] else None

    @property
    def hint(self) -> str:
        """What the sentence says beside times: exit code or health, as it stands in parentheses."""
        return self.status.partition("(")[2].partition(")")[0]


class _Health(msgspec.Struct, frozen=True):
    status: str = msgspec.field(name="Status", default="")


class _State(msgspec.Struct, frozen=True):
    status: str = msgspec.field(name="Status")
    exit_code: int = msgspec.field(name="ExitCode")
    oom_killed: bool = msgspec.field(name="OOMKilled", default=False)
    pid: int = msgspec.field(name="Pid", default=0)
    started_at: str = msgspec.field(name="StartedAt", default="")
    finished_at: str = msgspec.field(name="FinishedAt", default="")
    health: _Health | None = msgspec.field(name="Health", default=None)


class _Config(msgspec.Struct, frozen=True):
    image: str = msgspec.field(name="Image", default="")


class _HostConfig(msgspec.Struct, frozen=True):
    memory: int = msgspec.field(name="Memory", default=0)


class Inspected(msgspec.Struct, frozen=True):
    """What only the question for one container tells."""

    state: _State = msgspec.field(name="State")
    restarts: int | None = msgspec.field(name="RestartCount", default=None)
    config: _Config = msgspec.field(name="Config", default=_Config())
    host_config: _HostConfig = msgspec.field(name="HostConfig", default=_HostConfig())

    @property
    def health(self) -> str | None:
        """starting, healthy or unhealthy; None where there is no check."""
        health = self.state.health
        return None if health is None or health.status in ("", "none") else health.status

    @property
    def memory_limit(self) -> int | None:
        """Bytes; None where there is no limit."""
        return self.host_config.memory if self.host_config.memory > 0 else None


_LISTED: Final = msgspec.json.Decoder(list[Listed])
_INSPECTED: Final = msgspec.json.Decoder(Inspected)


class Engine:
    """The engine behind one socket. Connects at the first question and again when it was restarted; for one thread."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.prefix = ""
        """What the paths of questions begin with: the version of the API that both sides know."""
        self._connection: Connection | None = None

    def list_containers(self, deadline: float) -> list[Listed]:
        """Return all containers, in whatever state. Blocks until the deadline (time.monotonic) at most.

        Raises EngineError.
        """
        return self._decode(_LISTED, _LIST, self._get(_LIST, deadline))

    def inspect(self, container: str, deadline: float) -> Inspected | None:
        """Return what there is to know of one container, None when it is gone. Blocks and raises likewise."""
        target = f"/containers/{container}/json"
        try:
            return self._decode(_INSPECTED, target, self._get(target, deadline))
        except RefusedError as err:
            if err.status == 404:
                return None
            raise

    def fetch_prefix(self, deadline: float) -> str:
        """Return what the paths of questions begin with, for who asks in another way. Blocks and raises likewise."""
        connection = self.connect(deadline)
        try:
            return self._negotiate(connection, deadline)
        except (HttpError, OSError) as err:
            raise self._error("/_ping", err) from err
        finally:
            connection.close()

    def connect(self, deadline: float) -> Connection:
        """Return a new connection. Raises EngineError."""
        try:
            return Connection(self.path, deadline)
        except OSError as err:
            raise self._error("connect", err) from err

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _get(self, target: str, deadline: float) -> bytes:
        kept, self._connection = self._connection, None
        if kept is not None and kept.is_open:
            try:
                return self._ask(kept, self.prefix + target, deadline)
            except TimeoutError as err:
                raise self._error(target, err) from err
            except (HttpError, OSError):
                kept.close()  # the engine was restarted, most likely: once more from the start
        connection = self.connect(deadline)
        try:
            self.prefix = self._negotiate(connection, deadline)
            if not connection.is_open:
                connection = self.connect(deadline)
            return self._ask(connection, self.prefix + target, deadline)
        except (HttpError, OSError) as err:
            connection.close()
            raise self._error(target, err) from err

    def _ask(self, connection: Connection, target: str, deadline: float) -> bytes:
        answer = connection.get(target, deadline)
        if connection.is_open:
            self._connection = connection
        if answer.status != 200:
            text = f"{self.path}: {_anonymous(target)}: HTTP {answer.status}: {_message(answer.body)}"
            raise RefusedError(text, answer.status)
        return answer.body

    def _negotiate(self, connection: Connection, deadline: float) -> str:
        """Return the prefix of the newest version that both know; none where nobody tells, which is the engine's own.

        Raises EngineError where the engine is too old.
        """
        answer = connection.get("/_ping", deadline)
        major, _, minor = answer.headers.get(b"api-version", b"").partition(b".")
        if answer.status != 200 or not (major.isdigit() and minor.isdigit()):
            return ""
        theirs = int(major[:4]), int(minor[:4])
        if theirs < OLDEST:
            connection.close()
            wanted = ".".join(map(str, OLDEST))
            raise EngineError(f"{self.path}: expected API version {wanted} or later, got {theirs[0]}.{theirs[1]}")
        return "/v{}.{}".format(*min(theirs, NEWEST))

    def _decode(self, decoder: "msgspec.json.Decoder[T]", target: str, body: bytes) -> T:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            self.close()
            raise BadAnswerError(f"{self.path}: {_anonymous(target)}: {err}") from err

    def _error(self, target: str, err: Exception) -> EngineError:
        text = f"{self.path}: {_anonymous(target)}: {(err.strerror if isinstance(err, OSError) else None) or err}"
        if isinstance(err, TimeoutError):
            return EngineTimeoutError(text)
        if isinstance(err, OSError) and err.errno in (errno.ENOENT, errno.ENOTDIR):
            return NoEngineError(text)
        return NoPermissionError(text) if isinstance(err, PermissionError) else EngineError(text)


def _anonymous(target: str) -> str:
    """Return what was asked without the id: a failure is told once, not once for each container."""
    before, slash, after = target.partition("/containers/")
    return before + slash + ("ID/json" if after.endswith("/json") else after) if slash else target


def _message(body: bytes) -> str:
    """Return the engine's own words for a failure."""
    try:
        return msgspec.json.decode(body, type=dict[str, str])["message"][:200]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return repr(body[:80])


def parse_time(text: str) -> float | None:
    """Return RFC 3339 as seconds since the epoch; None for what is none, and for Docker's "never", the year 1."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or moment.year <= _ZERO_YEAR:
        return None
    return round(moment.timestamp(), 3)
