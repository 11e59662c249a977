"""What a call's outcome means: what is written down of it, and what is held back because of it."""

import sqlite3
from collections.abc import Callable
from typing import Final

import msgspec

from exporter.logs import Log
from exporter.relay import outbox
from exporter.relay.calls import Outcome
from exporter.relay.episodes import Episode
from exporter.relay.hold import Hold
from exporter.relay.outbox import Job
from exporter.relay.pace import POST, UPDATE
from exporter.relay.settings import SlackSettings
from exporter.relay.slack import ACCESS_DENIED, ErrorKind, SlackError

_log = Log("exporter.relay.delivery")

# different errors that are counted apart
MAX_CODES: Final = 64

Note = Callable[[sqlite3.Connection], None]
"""Writes down what became of a call; runs in a transaction, as often as the disk makes it."""


class State(msgspec.Struct):
    """How the delivery is doing, for page and metrics. Counts are since the start, moments seconds since 1970."""

    calls: dict[str, int] = {}
    """By Slack's method."""
    errors: dict[tuple[str, str], int] = {}
    """By kind and code."""
    messages: int = 0
    lines: int = 0
    copies: int = 0
    undeliverable: int = 0
    failed: int = 0
    last_success: float | None = None
    last_error: str = ""
    failing_since: float | None = None


class Outcomes:
    """Judges outcomes; each is judged once."""

    def __init__(
        self, settings: SlackSettings, hold: Hold, state: State, route: Callable[[Episode], str | None]
    ) -> None:
        self._settings, self._hold, self._state, self._route = settings, hold, state, route
        self._plain: set[tuple[int, bool]] = set()
        # episodes that were posted anew for their lines, until these are there
        self._anew: set[int] = set()

    def is_plain(self, job: Job) -> bool:
        """Whether a root message, or lines, have to go as plain text: Slack did not take blocks or metadata."""
        return _place(job) in self._plain

    def judge(self, outcome: Outcome, now: float) -> Note:
        """Return what to write down, and hold back what has to be."""
        if outcome.error is None:
            return self._succeeded(outcome, now)
        self._tell(outcome, outcome.error, now)
        note = self._failed(outcome, outcome.error, now)
        if outcome.error.ambiguous:
            return note

        def both(db: sqlite3.Connection) -> None:
            outbox.not_taken(db, outcome.job)
            note(db)

        return both

    def _succeeded(self, outcome: Outcome, now: float) -> Note:
        job, posted, state = outcome.job, outcome.posted, self._state
        if state.failing_since is not None:
            _log.info("Slack takes messages again", after_seconds=round(now - state.failing_since, 1))
        state.failing_since, state.last_success, state.last_error = None, now, ""
        self._hold.succeed(job.episode_id)
        state.copies += job.again
        _log.info(
            "message sent",
            what=job.what,
            group=job.episode.group_key,
            episode=job.episode.number,
            status=job.episode.status,
            channel=outcome.channel,
            copy=job.again,
        )
        if job.what == "lines":
            state.lines += len(job.lines)
            self._anew.discard(job.episode_id)
            return lambda db: outbox.sent(db, job, now)
        state.messages += 1
        if job.what == "update" or posted is None:
            return lambda db: outbox.shown(db, job)
        return lambda db: outbox.posted(db, job, posted.channel, posted.ts, outcome.channel)

    def _tell(self, outcome: Outcome, error: SlackError, now: float) -> None:
        state, text = self._state, f"{error.kind}: {error.code}"
        key = (str(error.kind), error.code)
        if key not in state.errors and len(state.errors) >= MAX_CODES:
            key = (str(error.kind), "other")  # codes are Slack's to choose
        state.errors[key] = state.errors.get(key, 0) + 1
        if state.failing_since is None:
            state.failing_since = now
        if text != state.last_error:
            _log.warning("Slack did not take a message", kind=error.kind, error=error.code, channel=outcome.channel)
        state.last_error = text

    def _failed(self, outcome: Outcome, error: SlackError, now: float) -> Note:
        job = outcome.job
        match error.kind:
            case ErrorKind.RATE:
                return self._slow_down(job, error, now)
            case ErrorKind.CHANNEL:
                return self._leave_channel(job, outcome.channel, error, now)
            case ErrorKind.PAYLOAD:
                return self._shrink(job, error, now)
            case ErrorKind.GONE | ErrorKind.LOCKED:
                return self._post_anew(job, error, now)
            case ErrorKind.TRANSIENT:
                self._hold.fail(job.episode_id)
            case ErrorKind.TOKEN:  # the token was noted where it came in
                self._hold.put_last(job.episode_id)
        return lambda _: None

    def _slow_down(self, job: Job, error: SlackError, now: float) -> Note:
        method, seconds = UPDATE if job.what == "update" else POST, error.retry_after or 1.0
        self._hold.pace.pause(method, seconds)
        return lambda db: outbox.pause(db, method, now, seconds)

    def _post_anew(self, job: Job, error: SlackError, now: float) -> Note:
        """Go on in a new message; where that one takes no answers either, keep its lines as a dead letter."""
        if job.what == "post":  # no answer to a new message
            self._hold.fail(job.episode_id)
            return lambda _: None
        if job.what == "lines":
            if job.episode_id in self._anew:
                self._anew.discard(job.episode_id)
                return self._bury(job, error, now)
            self._anew.add(job.episode_id)
        return lambda db: outbox.gone(db, job, stands=error.kind is ErrorKind.LOCKED)

    def _leave_channel(self, job: Job, channel: str, error: SlackError, now: float) -> Note:
        """Go where the settings or Vault say by now, else to the fallback; where there is neither, wait."""
        wanted, fallback = self._route(job.episode), self._settings.fallback_channel
        other = next((one for one in (wanted, fallback) if one and one != channel), None)
        if job.what == "post":
            if other is None or channel == fallback:
                self._hold.close(channel, job.episode_id)
            return lambda db: outbox.move(db, job, other) if other else None
        if job.what == "lines" and other is None and job.episode.status == "resolved":
            # the message says already that all is over
            return self._bury(job, error, now)
        if job.what == "update" and other is None and error.code in ACCESS_DENIED:
            self._hold.close("", job.episode_id)
            return lambda _: None

        def anew(db: sqlite3.Connection) -> None:
            outbox.gone(db, job, stands=True)
            if other and job.what == "lines":
                outbox.move(db, job, other)

        return anew

    def _shrink(self, job: Job, error: SlackError, now: float) -> Note:
        """Send it as plain text; if that was refused too, keep it as a dead letter and go on."""
        if _place(job) not in self._plain:
            self._plain.add(_place(job))
            return lambda _: None
        self._plain.discard(_place(job))
        return self._bury(job, error, now)

    def _bury(self, job: Job, error: SlackError, now: float) -> Note:
        self._state.undeliverable += 1
        _log.error("message refused for good, kept as dead letter", group=job.episode.group_key, error=error.code)
        return lambda db: outbox.undeliverable(db, job, error.code, now)


def _place(job: Job) -> tuple[int, bool]:
    """Return what is refused or taken as one: an episode's root message, or the lines of its thread."""
    return job.episode_id, job.what == "lines"
