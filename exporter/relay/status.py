"""How the relay is doing: for its page, /-/ready and /api/v1/status. What is not known is left out. Moments are UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from exporter import __version__
from exporter.relay.parts import Parts

# Slack fails for a moment now and then; what fails longer is worth a word
FAILING_SECONDS: Final = 60.0


class QueueStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What waits on disk, and what is kept there."""

    snapshots: int
    messages: int
    threads: int
    limit: int
    firing: int
    dead_letters: int
    writable: bool
    oldest: str | None = None
    oldest_seconds: float | None = None
    """How long ago what waits longest came."""

    @property
    def depth(self) -> int:
        """How much waits, all together."""
        return self.snapshots + self.messages + self.threads


class SlackStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of the calls to Slack since the start."""

    calls: Mapping[str, int]
    errors: Mapping[str, int]
    """By kind and code, as in `transient: timeout`."""
    messages: int
    lines: int
    copies: int
    undeliverable: int
    pauses: Mapping[str, float]
    """Methods and channels that are left alone, with the seconds left."""
    last_success: str | None = None
    failing_since: str | None = None
    failing_seconds: float | None = None
    last_error: str | None = None


class TokenStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the Slack token comes from; the last three from Vault only."""

    present: bool
    ok: bool
    text: str
    since: str
    version: int | None = None
    latest: int | None = None
    lease_ends: str | None = None


class WatchdogStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The alert that always fires."""

    expected: bool
    fresh: bool
    last_seen: str | None = None
    age_seconds: float | None = None
    silent_since: str | None = None


class HeartbeatStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The calls of an address outside."""

    sent: int
    failures: int
    last_success: str | None = None
    withheld: str | None = None


class EvidenceStatus(msgspec.Struct, frozen=True):
    """Who did it."""

    fetches: int
    failures: int


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of it; what is not set up is left out."""

    mode: str
    version: str
    faults: tuple[str, ...]
    queue: QueueStatus
    watchdog: WatchdogStatus
    slack: SlackStatus | None = None
    token: TokenStatus | None = None
    heartbeat: HeartbeatStatus | None = None
    evidence: EvidenceStatus | None = None


def status_of(parts: Parts) -> Status:
    """Return how the relay is doing now."""
    now = parts.clock()
    evidence = parts.evidence
    made = Status(
        mode="slack" if parts.source is not None else "preview",
        version=__version__,
        faults=(),
        queue=_queue(parts, now),
        watchdog=_watchdog(parts),
        slack=_slack(parts, now) if parts.source is not None else None,
        token=_token(parts),
        heartbeat=_heartbeat(parts) if parts.heartbeat.is_set else None,
        evidence=EvidenceStatus(evidence.fetches, sum(evidence.failures.values())) if evidence.is_on else None,
    )
    return msgspec.structs.replace(made, faults=tuple(_faults(made, delivering=parts.delivering())))


def _faults(status: Status, *, delivering: bool) -> list[str]:
    """Return what is wrong, worst first."""
    slack, token, watchdog = status.slack, status.token, status.watchdog
    out = []
    if not status.queue.writable:
        out.append("the database cannot be written")
    if status.queue.depth >= status.queue.limit:
        out.append("the queue is full")
    if not delivering:
        out.append("the delivery has ended")
    if token is not None and not (token.present and token.ok):
        what = "the source of the Slack token" if token.present else "there is no Slack token yet"
        out.append(f"{what}: {token.text}")
    if slack is not None and (slack.failing_seconds or 0.0) > FAILING_SECONDS:
        out.append(f"Slack has taken no message since {slack.failing_since}: {slack.last_error}")
    if watchdog.silent_since is not None:
        out.append(f"the alert pipeline is silent since {watchdog.silent_since}")
    return out


def _queue(parts: Parts, now: float) -> QueueStatus:
    stats = parts.queue.stats
    oldest = stats.oldest_received
    return QueueStatus(
        snapshots=stats.snapshots,
        messages=stats.messages,
        threads=stats.threads,
        limit=parts.settings.limits.queue_snapshots,
        firing=stats.firing,
        dead_letters=stats.dead_letters,
        writable=parts.queue.writable,
        oldest=_moment(oldest),
        oldest_seconds=None if oldest is None else max(0.0, now - oldest),
    )


def _slack(parts: Parts, now: float) -> SlackStatus:
    state = parts.delivery.state
    since = state.failing_since
    return SlackStatus(
        calls=dict(state.calls),
        errors={f"{kind}: {code}": count for (kind, code), count in state.errors.items()},
        messages=state.messages,
        lines=state.lines,
        copies=state.copies,
        undeliverable=state.undeliverable,
        pauses={what: round(seconds, 1) for what, seconds in parts.delivery.pauses.items()},
        last_success=_moment(state.last_success),
        failing_since=_moment(since),
        failing_seconds=None if since is None else max(0.0, now - since),
        last_error=state.last_error or None,
    )


def _token(parts: Parts) -> TokenStatus | None:
    if parts.source is None:
        return None
    state = parts.source.state
    present = parts.source.current() is not None
    # of VaultSource, which is not imported where there is no Vault: it is known by what it tells
    vault = getattr(parts.source, "status", None)
    return TokenStatus(
        present=present,
        ok=state.ok,
        text=state.text,
        since=_moment(state.since) or "",
        version=getattr(vault, "version", None),
        latest=getattr(vault, "latest", None),
        lease_ends=_moment(getattr(vault, "lease_ends", None)),
    )


def _watchdog(parts: Parts) -> WatchdogStatus:
    watchdog = parts.watchdog
    return WatchdogStatus(
        expected=watchdog.is_expected,
        fresh=watchdog.is_fresh,
        last_seen=_moment(watchdog.last_seen),
        age_seconds=None if watchdog.age is None else round(watchdog.age, 1),
        silent_since=_moment(watchdog.silent_since),
    )


def _heartbeat(parts: Parts) -> HeartbeatStatus:
    heartbeat = parts.heartbeat
    return HeartbeatStatus(
        sent=heartbeat.sent,
        failures=heartbeat.failures,
        last_success=_moment(heartbeat.last_success),
        withheld=heartbeat.withheld or None,
    )


def rfc3339(seconds: float) -> str:
    """Return a moment, seconds since 1970, in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
