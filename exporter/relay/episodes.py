"""The state of an alert group, folded from its snapshots. Pure.

An episode begins with the first alert of a quiet group and ends when all its alerts are resolved. Copies
(clusters deliver at least once) and snapshots out of order do no harm: an alert is told apart by fingerprint and
startsAt, never goes back from resolved to firing, and what is older than the newest known startsAt is stale.
A snapshot that lacks an alert says nothing about it: it may be an old one, or cut by max_alerts.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from exporter.relay.intake import Alert, Snapshot, Status, Text, instant

# newest startsAt of alerts of past episodes, per group: beyond it the oldest are forgotten
MAX_PAST: Final = 4096


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
    """All that is kept of a group: its newest episode, and the newest startsAt of each alert of earlier ones."""

    episode: Episode | None = None
    past: Mapping[str, str] = {}


def apply(group: Group, snapshot: Snapshot) -> Group:
    """Return the group after `snapshot`; the same group when it tells nothing new."""
    known = {alert.identity: alert for alert in group.episode.alerts} if group.episode else {}
    fresh: dict[str, Alert] = {}
    merged = dict(known)
    for alert in snapshot.alerts:
        key = alert.identity
        before = fresh.get(key) or known.get(key)
        if before is not None and alert.began == before.began:
            _put(alert, before, fresh if key in fresh else merged)
        elif _is_newer(alert, before, group.past):
            fresh[key] = alert
    return _with(group, snapshot, merged, fresh)


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


def _with(group: Group, snapshot: Snapshot, merged: dict[str, Alert], fresh: dict[str, Alert]) -> Group:
    """Return the group with its merged alerts and the fresh ones, in this episode or in a new one."""
    now = group.episode
    if now is None or (fresh and now.status == "resolved"):
        if not fresh:
            return group
        past = _past(group, now)
        return Group(episode=_episode(_opened(now, snapshot), fresh, snapshot), past=past)
    episode = _episode(now, {**merged, **fresh}, snapshot)
    return group if episode == now else Group(episode=episode, past=group.past)


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


def _past(group: Group, closed: Episode | None) -> Mapping[str, str]:
    """Return the starts of earlier episodes with those of the one that a new one replaces."""
    if closed is None:
        return group.past
    past = {**group.past, **{alert.identity: alert.starts_at for alert in closed.alerts}}
    if len(past) <= MAX_PAST:
        return past
    return dict(sorted(past.items(), key=lambda item: instant(item[1]))[-MAX_PAST:])
