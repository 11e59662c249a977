"""Which channel an alert group goes to: by receiver and labels, first match wins. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from exporter.relay import wording
from exporter.relay.episodes import Episode
from exporter.settings.values import Regex

_ID: Final = re.compile("[CGD][A-Z0-9]{8,20}")


class ChannelRoute(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A channel and which groups go there: those of any of the receivers whose labels all match."""

    channel: str
    """A channel's name (#alerts) or ID (C0123456789)."""
    receivers: tuple[str, ...] = ()
    """Alertmanager's receivers; none means all of them."""
    match: Mapping[str, Regex] = {}
    """Labels that all alerts of the group share; the expression must match the whole value."""

    def __post_init__(self) -> None:
        """Refuse a route to nowhere."""
        if not self.channel:
            raise ValueError("channel: expected a channel's name or ID, such as #alerts")

    def takes(self, receiver: str, labels: Mapping[str, str]) -> bool:
        """Say whether a group goes here. A label that is missing counts as empty."""
        if self.receivers and receiver not in self.receivers:
            return False
        return all(pattern.pattern.fullmatch(labels.get(name, "")) for name, pattern in self.match.items())


def pick(
    episode: Episode, routes: Sequence[ChannelRoute], default: str, named: Mapping[str, str] | None = None
) -> str | None:
    """Return the channel of an episode; None when nobody named one.

    `named` are channels by receiver that came with the token; they stand behind the routes of the settings, and its
    "" behind the settings' default.
    """
    named = named or {}
    labels = common_labels(episode)
    for route in routes:
        if route.takes(episode.receiver, labels):
            return route.channel
    return named.get(episode.receiver) or default or named.get("") or None


def common_labels(episode: Episode) -> Mapping[str, str]:
    """Return the labels that all alerts of an episode share, the group's own included."""
    first, *others = episode.alerts or (None,)
    if first is None:
        return episode.group_labels
    shared = {k: v for k, v in first.labels.items() if all(o is not None and o.labels.get(k) == v for o in others)}
    return {**episode.group_labels, **shared}


def shown(channel: str) -> str:
    """Return a channel as mrkdwn shows it: an ID as a link to it, a name as it is, escaped."""
    return f"<#{channel}>" if _ID.fullmatch(channel) else wording.line(channel, 80)
