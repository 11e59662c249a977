"""The state of an alert group, folded from its snapshots. Pure.

An episode begins with the first alert of a quiet group and ends when all its alerts are resolved. Copies
(clusters deliver at least once) and snapshots out of order do no harm: an alert is told apart by fingerprint and
startsAt, and what is older than the newest known startsAt is stale. It goes back from resolved to firing only when it
is told as firing long after its end came: an Alertmanager that Prometheus could not reach tells an end when the alert
times out, and then goes on with the startsAt it had. The startsAt of a firing alert may move back, as Alertmanager
keeps the earliest that any Prometheus tells: an end that is later than the start we know ends it all the same.
A snapshot that lacks an alert says nothing about it: it may be an old one, or cut by max_alerts.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from exporter.relay.intake import Alert, Snapshot, Status, Text, instant

# newest startsAt of alerts that an episode keeps no longer, per group: beyond it the oldest are forgotten
MAX_PAST: Final = 4096
# resolved alerts that an episode lists, the newest: one that goes on for weeks must not grow with each that came and
# went
MAX_RESOLVED: Final = 200
# so long after an end a snapshot in which the alert still fires may be a peer's copy of an older one. A peer tries for
# group_interval and its turn's wait (--cluster.peer-timeout, 15 s a peer), and the end is told a group_interval after
# the beginning at the earliest: with timers in step copies are late by those waits only, 45 s in a cluster of four. Out
# of step they may be later, but then that peer tells the end once more, as its notification log says that it fires.
# Less than the usual group_interval, a minute: what an Alertmanager tells next is no copy
LATE_SECONDS: Final = 45.0


class Episode(msgspec.Struct, frozen=True):
    """One trouble of one group: what one Slack message shows. Alerts are ordered by their start."""

    number: int
    group_key: str
    receiver: str
    group_labels: Text
    external_url: str
    alerts: tuple[Alert, ...] = ()
    # the earliest startsAt of all alerts that were ever in it, those replaced by a later start included
    began: str = ""
    truncated_alerts: int = 0
    # by identity, when the ends came of which there may be late copies still, in seconds since 1970
    ends: Mapping[str, float] = {}
    # how many were resolved in it besides those in `alerts`; one that fires again counts once more
    more_resolved: int = 0

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that fire."""
        return tuple(alert for alert in self.alerts if alert.status == "firing")

    @property
    def resolved(self) -> tuple[Alert, ...]:
        """The alerts that are resolved."""
        return tuple(alert for alert in self.alerts if alert.status == "resolved")

    @property
    def status(self) -> Status:
        """Firing while any of its alerts fires."""
        return "firing" if self.firing else "resolved"

    @property
    def ended(self) -> int | None:
        """When the last alert was resolved, in nanoseconds since 1970; None while one fires or if nobody said."""
        if self.status == "firing":
            return None
        return max((alert.ended for alert in self.alerts if alert.ended is not None), default=None)


class Group(msgspec.Struct, frozen=True):
    """All that is kept of a group: its newest episode, and the newest startsAt of each alert that is not in it now."""

    episode: Episode | None = None
    past: Mapping[str, str] = {}


def apply(group: Group, snapshot: Snapshot, received: float | None = None) -> Group:
    """Return the group after `snapshot`; the same group when it tells nothing new.

    `received` is when it came, in seconds since 1970; without it nothing fires again with a start that has ended.
    """
    known = {alert.identity: alert for alert in group.episode.alerts} if group.episode else {}
    fresh: dict[str, Alert] = {}
    merged = dict(known)
    for alert in snapshot.alerts:
        key = alert.identity
        before = fresh.get(key) or known.get(key)
        if key not in fresh and _fires_again(group, alert, before, received):
            fresh[key] = alert
        elif before is not None and _is_end(alert, before):
            # by the start that was told, so that it is one alert for whoever compares
            (fresh if key in fresh else merged)[key] = msgspec.structs.replace(alert, starts_at=before.starts_at)
        elif before is not None and alert.began == before.began:
            _put(alert, before, fresh if key in fresh else merged)
        elif _is_newer(alert, before, group.past):
            fresh[key] = alert
    return _with(group, snapshot, merged, fresh, received)


def _fires_again(group: Group, alert: Alert, before: Alert | None, received: float | None) -> bool:
    """Say whether a start that is known to have ended fires after all: told too long after its end to be a copy."""
    if alert.status == "resolved" or received is None or group.episode is None:
        return False
    if before.status == "firing" if before is not None else alert.identity not in group.past:
        return False
    return not _is_late(group.episode.ends.get(alert.identity), received)


def _is_late(ended: float | None, received: float) -> bool:
    """Say whether copies may still come of what an end made old; a clock that jumped far says no."""
    return ended is not None and abs(received - ended) < LATE_SECONDS


def _is_end(alert: Alert, before: Alert) -> bool:
    """Say whether an alert of an earlier start is the end of the one that fires."""
    if before.status == "resolved" or alert.ended is None:
        return False
    return alert.began < before.began <= alert.ended


def _is_newer(alert: Alert, before: Alert | None, past: Mapping[str, str]) -> bool:
    """Say whether this is a start that nobody told yet; what is older than a known one is stale."""
    if before is not None:
        return alert.began > before.began
    return alert.identity not in past or alert.began > instant(past[alert.identity])


def _put(alert: Alert, before: Alert, into: dict[str, Alert]) -> None:
    """Merge two tellings of the same episode of an alert: resolved wins, the later end wins, the newer text wins."""
    if before.status == "resolved" and (alert.status == "firing" or (alert.ended or 0) < (before.ended or 0)):
        return
    into[alert.identity] = alert


def _with(
    group: Group, snapshot: Snapshot, merged: dict[str, Alert], fresh: dict[str, Alert], received: float | None
) -> Group:
    """Return the group with its merged alerts and the fresh ones, in this episode or in a new one."""
    now = group.episode
    if now is None or (fresh and now.status == "resolved"):
        if not fresh:
            return group
        past = _past(group.past, now.alerts if now else ())
        opened = _episode(_opened(now, snapshot), fresh, snapshot)
        return Group(episode=_ended(opened, now, received), past=past)
    episode = _episode(now, {**merged, **fresh}, snapshot)
    return group if episode == now else _cut(_ended(episode, now, received), group.past)


def _cut(episode: Episode, past: Mapping[str, str]) -> Group:
    """Return the group with an episode of bounded length; what copies may come of stays in it for so long."""
    over = len(episode.resolved) - MAX_RESOLVED
    if over <= 0:
        return Group(episode=episode, past=past)
    oldest = sorted(episode.resolved, key=lambda alert: (alert.ended or 0, alert.began, alert.identity))[:over]
    gone = {alert.identity: alert for alert in oldest if alert.identity not in episode.ends}
    kept = tuple(alert for alert in episode.alerts if alert.identity not in gone)
    shorter = msgspec.structs.replace(episode, alerts=kept, more_resolved=episode.more_resolved + len(gone))
    return Group(episode=shorter, past=_past(past, gone.values()))


def _ended(episode: Episode, before: Episode | None, received: float | None) -> Episode:
    """Return the episode with when the ends came that are younger than their copies."""
    if received is None:
        return episode
    was = {(alert.identity, alert.starts_at) for alert in before.resolved} if before else set()
    ends = {key: when for key, when in before.ends.items() if _is_late(when, received)} if before else {}
    ends |= {alert.identity: received for alert in episode.resolved if (alert.identity, alert.starts_at) not in was}
    fires = {alert.identity for alert in episode.firing}
    return msgspec.structs.replace(episode, ends={key: when for key, when in ends.items() if key not in fires})


def _opened(before: Episode | None, snapshot: Snapshot) -> Episode:
    return Episode(
        number=before.number + 1 if before else 1,
        group_key=snapshot.group_key,
        receiver=snapshot.receiver,
        group_labels=snapshot.group_labels,
        # the first sender's address stays: copies from its peers must not change the message
        external_url=snapshot.external_url,
    )


def _episode(episode: Episode, alerts: Mapping[str, Alert], snapshot: Snapshot) -> Episode:
    ordered = tuple(sorted(alerts.values(), key=lambda alert: (alert.began, alert.identity)))
    starts = [text for text in (episode.began, *(alert.starts_at for alert in ordered)) if text]
    return msgspec.structs.replace(
        episode,
        alerts=ordered,
        began=min(starts, key=instant, default=""),
        truncated_alerts=snapshot.truncated_alerts,
    )


def _past(past: Mapping[str, str], gone: Iterable[Alert]) -> Mapping[str, str]:
    """Return the starts of earlier alerts with those of alerts that an episode keeps no longer."""
    out = {**past, **{alert.identity: alert.starts_at for alert in gone}}
    if len(out) <= MAX_PAST:
        return out
    return dict(sorted(out.items(), key=lambda item: instant(item[1]))[-MAX_PAST:])
