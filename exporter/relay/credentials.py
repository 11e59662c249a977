"""What Slack is talked to with: the bot token and, where the source knows them, channels. Sources give it.

A source never blocks whoever asks: it keeps the last good credentials in memory and looks for newer ones by itself.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from exporter.logs import Log, Secret
from exporter.relay.slack import ErrorKind, SlackError
from exporter.relay.token import TokenError, file_stamp, read_token

_log = Log("exporter.relay.credentials")


class Credentials(msgspec.Struct, frozen=True):
    """A bot token that auth.test has accepted, and channels by receiver; "" is for all others."""

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


class FileSource:
    """A bot token in a file, read again whenever the file changes; what cannot be used keeps the last good one.

    `check` is asked on the source's own thread whether Slack takes a token; it raises SlackError. A token that Slack
    does not take is not used, unless there is no other and Slack could not be asked.
    """

    LOOK_SECONDS: Final = 2.0

    def __init__(self, path: Path, check: Callable[[Secret], object], clock: Callable[[], float] = time.time) -> None:
        self._path, self._check, self._clock = path, check, clock
        self.on_change: Callable[[], None] = lambda: None
        self._current: Credentials | None = None
        self._state = SourceState(ok=False, text="not read yet", since=clock())
        self._seen: object = None
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="token-file")

    def current(self) -> Credentials | None:
        """Return the credentials in force."""
        return self._current

    @property
    def state(self) -> SourceState:
        """How it is doing."""
        return self._state

    def start(self) -> None:
        """Begin to read the file, on a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end."""
        self._ended = True
        self._wake.set()

    def refused(self, version: str) -> None:
        """Look at the file again at once."""
        if self._current is not None and self._current.version == version:
            self._tell(ok=False, text=f"Slack refuses the token in {self._path}")
        self._wake.set()

    def _run(self) -> None:
        while not self._ended:
            self._wake.clear()
            self._look()
            self._wake.wait(self.LOOK_SECONDS)

    def _look(self) -> None:
        stamp = file_stamp(self._path)
        if stamp == self._seen and stamp is not None:
            return
        try:
            token = read_token(self._path, "slack.token_file")
        except TokenError as err:
            self._tell(ok=False, text=str(err))
            return
        if self._current is not None and self._current.token == token:
            self._seen = stamp
            self._tell(ok=True, text=f"token from {self._path}")
            return
        try:
            self._check(token)
        except SlackError as err:
            if err.kind is ErrorKind.TOKEN or self._current is not None:
                # a refused one is tried again only when the file changes, an unasked one soon
                self._seen = stamp if err.kind is ErrorKind.TOKEN else None
                self._tell(ok=False, text=f"the token in {self._path} was not taken by Slack: {err.code}")
                return
        self._seen = stamp
        self._current = Credentials(token=token, version=f"file:{stamp}", origin=str(self._path))
        self._tell(ok=True, text=f"token from {self._path}")
        self.on_change()

    def _tell(self, *, ok: bool, text: str) -> None:
        if (ok, text) == (self._state.ok, self._state.text):
            return
        self._state = SourceState(ok=ok, text=text, since=self._clock())
        (_log.info if ok else _log.error)("Slack token", ok=ok, state=text)
