"""What all Alertmanagers together know: which alerts, since when each of them runs, how often it tells. Blocks.

All of them have to answer, and each answer has to be whole: what one of them would have known is known otherwise.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from exporter.clients import alertmanager
from exporter.clients.http_get import Access, GetError
from exporter.relay.access import AccessError, access_of
from exporter.relay.settings import ReconcileSettings

# of one Alertmanager, at one time: 32 MB of JSON hold no more
MAX_ALERTS: Final = 50_000
# what holds for a route where it and those above it say nothing (Alertmanager's docs/configuration.md)
DEFAULT_GROUP_INTERVAL: Final = 300.0

_GROUP_INTERVAL: Final = re.compile(r"^( *(?:- )?)[\"']?group_interval[\"']?: *[\"']?([0-9a-z]+)[\"']?$", re.MULTILINE)
# the keys of the root route, in the configuration as Alertmanager prints it
_ROOT_INDENT: Final = "  "
_LENGTH: Final = re.compile(r"(\d+)(ms|[ywdhms])")
_SECONDS: Final = {"y": 31_536_000.0, "w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class LookError(Exception):
    """Nobody can say what fires; `reason` is one of reconcile.REASONS."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Knowledge(msgspec.Struct, frozen=True):
    """What they know."""

    fingerprints: frozenset[str]
    """Of all alerts that have not ended, muted ones too."""
    starts: Mapping[str, str]
    """By address: when that Alertmanager was started, in its own words."""
    group_interval: float
    """The longest pause between two tellings of one group, in seconds."""


def ask(urls: Sequence[str], settings: ReconcileSettings) -> Knowledge:
    """Return what the Alertmanagers at `urls` know. Raises LookError if but one does not answer, or not as it should.

    Blocks for twice `settings.timeout` each at most.
    """
    try:
        access = access_of(settings.access, "reconcile.access")
    except AccessError as err:
        raise LookError("settings", str(err)) from err
    fingerprints, starts, intervals = set[str](), dict[str, str](), [0.0]
    for url in urls:
        try:
            # its start last: an answer that a restart emptied is known by it
            fingerprints |= _fingerprints(url, settings.timeout, access)
            status = alertmanager.fetch_status(url, time.monotonic() + settings.timeout, access)
        except GetError as err:
            raise LookError("alertmanager", f"{url}: {err}") from err
        if not (status.uptime and status.version):
            raise LookError("alertmanager", f"{url}: not what Alertmanager answers to status")
        starts[url] = status.uptime
        intervals.append(longest_group_interval(status.configuration))
    return Knowledge(frozenset(fingerprints), starts, max(intervals))


def _fingerprints(url: str, timeout: float, access: Access) -> set[str]:
    alerts = alertmanager.fetch_alerts(url, time.monotonic() + timeout, access)
    if len(alerts) > MAX_ALERTS:
        raise GetError(f"more than {MAX_ALERTS} alerts")
    if not all(alert.fingerprint and alert.labels for alert in alerts):
        raise GetError("not what Alertmanager answers to alerts")
    return {alert.fingerprint for alert in alerts}


def longest_group_interval(configuration: str) -> float:
    """Return the longest group_interval of any route of a configuration as Alertmanager prints it, in seconds."""
    found = _GROUP_INTERVAL.findall(configuration)
    lengths = [_seconds(text) for _, text in found]
    if not any(indent == _ROOT_INDENT for indent, _ in found):
        lengths.append(DEFAULT_GROUP_INTERVAL)
    return max(lengths)


def _seconds(text: str) -> float:
    """Return a duration such as 1h30m in seconds; one that we cannot read counts as the default."""
    parts = _LENGTH.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        return DEFAULT_GROUP_INTERVAL
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)
