"""What Slack is talked to with: the bot token and, where the source knows them, channels. Sources give it.

A source never blocks whoever asks: it keeps the last good credentials in memory and looks for newer ones by itself.
"""

import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from exporter.logs import Log, Secret
from exporter.relay.hold import LONGEST, backoff
from exporter.relay.slack import ErrorKind, SlackError
from exporter.relay.token import TokenError, file_stamp, read_token

_log = Log("exporter.relay.credentials")

Check = Callable[[Secret], object]
"""Asks Slack whether it takes a token (auth.test); raises SlackError."""


class Credentials(msgspec.Struct, frozen=True):
    """A bot token and channels by receiver; "" is for all others."""

    token: Secret
    version: str
    """Tells one token from the next without telling the token: a number in Vault, a file's time stamp."""
    origin: str
    channels: Mapping[str, str] = {}


class SourceState(msgspec.Struct, frozen=True):
    """How a source is doing, for page, metrics and logs."""

    ok: bool
    text: str
    since: float
    """Seconds since 1970."""


class Source(Protocol):
    """Where credentials come from."""

    on_change: Callable[[], None]
    """Called, on any thread, when `current` gives something else than before."""

    def current(self) -> Credentials | None:
        """Return the credentials in force; None while there are none yet."""
        ...

    def start(self) -> None:
        """Begin to look for credentials."""
        ...

    def stop(self) -> None:
        """End soon; does not wait for what hangs."""
        ...

    def refused(self, version: str) -> None:
        """Take note that Slack refused this version's token: look for a newer one at once."""
        ...

    @property
    def state(self) -> SourceState:
        """How it is doing."""
        ...


class InUse:
    """Which tokens calls to Slack carry just now. Tells when the last one with an older token is back."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._newest: Credentials | None = None
        self._old_in_use = False

    def newest(self, found: Credentials) -> None:
        """Take note of the credentials that every call uses from now on."""
        before, self._newest = self._newest, found
        if before is not None and before.token != found.token:
            self._old_in_use = True
            self._look()

    def begin(self, version: str) -> None:
        """Take note of a call that carries this version's token."""
        self._calls[version] += 1

    def end(self, version: str) -> None:
        """Take note that such a call is back."""
        self._calls[version] -= 1
        self._calls += Counter()  # drops what has fallen to zero
        self._look()

    def _look(self) -> None:
        if self._old_in_use and self._newest is not None and not self._calls.keys() - {self._newest.version}:
            self._old_in_use = False
            # after this moment no call carries the old token: it may be revoked
            _log.info("Slack token swapped", version=self._newest.version, origin=self._newest.origin)


class Keeper(ABC):
    """What sources share: one thread that looks again and again, the last good credentials, and Slack's word on them.

    A token that Slack refuses is not used. One that Slack could not be asked about is not swapped in either, but is
    used where there is no other. `first_wait` scales how soon Slack is asked again, in seconds.
    """

    def __init__(
        self,
        check: Check,
        name: str,
        *,
        first_wait: float = 1.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._check, self._first_wait, self._clock, self._monotonic = check, first_wait, clock, monotonic
        self._current: Credentials | None = None
        self._state = SourceState(ok=False, text="not read yet", since=clock())
        # the token in force was never asked about, or Slack refused it at some time: monotonic seconds
        self._doubted = False
        self._refused_at = float("-inf")
        # the version that Slack was asked about last, its answer, and when it may be asked again
        self._asked, self._tries, self._ask_at = "", 0, float("-inf")
        self._answer: SlackError | None = None
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)

    def current(self) -> Credentials | None:
        """Return the credentials in force."""
        return self._current

    @property
    def state(self) -> SourceState:
        """How it is doing."""
        return self._state

    def start(self) -> None:
        """Begin to look, on a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end; does not wait."""
        self._ended = True
        self._wake.set()

    def refused(self, version: str) -> None:
        """Look at once for another token than the one that Slack refused."""
        if self._current is not None and self._current.version == version:
            self._doubted, self._refused_at = True, self._monotonic()
            self._tell(ok=False, text=f"Slack refuses the token of {self._current.origin}")
        self._wake.set()

    @abstractmethod
    def look(self) -> float:
        """Look once. Blocks; returns in how many seconds to look again."""

    def _run(self) -> None:
        while not self._ended:
            self._wake.clear()
            self._wake.wait(self._look_safely())

    def _look_safely(self) -> float:
        try:
            return self.look()
        except Exception as err:  # noqa: BLE001 -- the thread's boundary: without it nobody would look ever again
            # neither text nor traceback: both may hold what must not be told
            last = traceback.extract_tb(err.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            _log.error("token source failed", error=type(err).__name__, at=place)
            self._tell(ok=False, text=f"failed by our own fault: {type(err).__name__} at {place}")
            return LONGEST * self._first_wait

    def _offer(self, found: Credentials) -> SlackError | None:
        """Put credentials in force if Slack takes their token; returns why not, or what doubt remains. May block."""
        now = self._current
        same = now is not None and now.token == found.token
        error = self._ask(found) if self._doubted or not same else None
        if error is None or (now is None and error.kind is not ErrorKind.TOKEN):
            self._doubted = error is not None or (same and self._doubted and not self._forgiven())
            self._put(found)
        return error

    def _forgiven(self) -> bool:
        """Say whether Slack, when it was asked, took the token though it had refused a call a while ago."""
        # auth.test succeeds for a token that lacks a scope: what is in use is tried again about each LONGEST
        return self._monotonic() - self._refused_at > 2.5 * LONGEST * self._first_wait

    def _ask(self, found: Credentials) -> SlackError | None:
        """Return Slack's word on a token; the one of a while ago where it is too early to ask again."""
        now = self._monotonic()
        if self._asked == found.version and now < self._ask_at:
            return self._answer
        self._tries = self._tries + 1 if self._asked == found.version else 1
        self._asked, self._answer = found.version, None
        try:
            self._check(found.token)
        except SlackError as err:
            self._answer = SlackError(err.kind, err.code, retry_after=err.retry_after)
        wait = self._first_wait * (backoff(self._tries) if self._answer else LONGEST)
        self._ask_at = now + max(wait, self._answer.retry_after or 0.0 if self._answer else 0.0)
        return self._answer

    def _put(self, found: Credentials) -> None:
        if found == self._current:
            return
        self._current = found
        _log.info("Slack token in force", version=found.version, origin=found.origin)
        self.on_change()

    def _tell(self, *, ok: bool, text: str) -> None:
        if (ok, text) == (self._state.ok, self._state.text):
            return
        self._state = SourceState(ok=ok, text=text, since=self._clock())
        (_log.info if ok else _log.error)("Slack token", ok=ok, state=text)


class FileSource(Keeper):
    """A bot token in a file, read again whenever the file changes; what cannot be used keeps the last good one."""

    LOOK_SECONDS: Final = 2.0

    def __init__(
        self,
        path: Path,
        check: Check,
        clock: Callable[[], float] = time.time,
        *,
        first_wait: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(check, "token-file", first_wait=first_wait, clock=clock, monotonic=monotonic)
        self._path = path
        self._seen: tuple[int, ...] | None = None

    def look(self) -> float:
        """Read the file if it has changed, or if Slack has not taken its token yet."""
        stamp = file_stamp(self._path)
        if stamp is None or stamp != self._seen or self._doubted:
            self._read(stamp)
        return self.LOOK_SECONDS

    def _read(self, stamp: tuple[int, ...] | None) -> None:
        self._seen = None
        try:
            token = read_token(self._path, "slack.token_file")
        except TokenError as err:
            self._tell(ok=False, text=str(err))
            return
        error = self._offer(Credentials(token=token, version=f"file:{stamp}", origin=str(self._path)))
        if error is not None:
            verb = "refuses" if error.kind is ErrorKind.TOKEN else "could not be asked about"
            self._tell(ok=False, text=f"Slack {verb} the token in {self._path}: {error.code}")
        elif self._doubted:
            self._tell(ok=False, text=f"Slack refuses the token of {self._path}")
        else:
            self._seen = stamp
            self._tell(ok=True, text=f"token from {self._path}")
