"""Alertmanager's webhook payload, version 4, as 0.25 to 0.34 send it, as frozen types.

Unknown keys are tolerated and the newer ones used (notification_reason since 0.32, routeLabels since 0.34).
The documentation of the format is Alertmanager's docs/configuration.md, section webhook_config.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

VERSION: Final = "4"
Status = Literal["firing", "resolved"]
Reason = Literal["not_json", "payload"]
Text = Mapping[str, str]
# notification_reason of the snapshots that reconcile.py makes, and of those that letters.py replays; Alertmanager has
# none such
ENDED_UNSAID: Final = "hostwatch: ended unsaid"
REPLAYED: Final = "hostwatch: replayed"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# RFC 3339 as Go prints it: up to nine digits of a fraction, which datetime would cut to six
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)


class PayloadError(Exception):
    """A body is no payload that the relay understands; `reason` is the class of the fault."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason: Reason = reason


class Alert(
    msgspec.Struct,
    frozen=True,
    rename={"starts_at": "startsAt", "ends_at": "endsAt", "generator_url": "generatorURL"},
):
    """One alert of a group. `starts_at` stays the text that came: it tells one episode of it from the next."""

    status: Status = "firing"
    labels: Text = {}
    annotations: Text = {}
    starts_at: str = ""
    ends_at: str = ""
    generator_url: str = ""
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """The label `alertname`, or an empty text."""
        return self.labels.get("alertname", "")

    @property
    def severity(self) -> str:
        """The label `severity` in lower case, or an empty text."""
        return self.labels.get("severity", "").strip().lower()

    @property
    def identity(self) -> str:
        """What is equal for all episodes of one alert: Alertmanager's fingerprint, or one of ours if it sent none."""
        return self.fingerprint or _digest(_flat(self.labels)).hex()[:16]

    @property
    def began(self) -> int:
        """`starts_at` in nanoseconds since 1970; 0 if it did not come."""
        return instant(self.starts_at)

    @property
    def ended(self) -> int | None:
        """`ends_at` in nanoseconds since 1970 once the alert is resolved."""
        if self.status == "firing" or not self.ends_at:
            return None
        # Go's zero time in a resolved alert means that nobody said when
        return when if (when := instant(self.ends_at)) > 0 else None


class Snapshot(
    msgspec.Struct,
    frozen=True,
    rename={
        "group_key": "groupKey",
        "group_labels": "groupLabels",
        "common_labels": "commonLabels",
        "common_annotations": "commonAnnotations",
        "external_url": "externalURL",
        "truncated_alerts": "truncatedAlerts",
        "route_labels": "routeLabels",
    },
):
    """All that one webhook tells: a group of alerts as it was at one moment."""

    group_key: Annotated[str, msgspec.Meta(min_length=1)]
    alerts: Annotated[tuple[Alert, ...], msgspec.Meta(min_length=1)]
    receiver: str = ""
    status: Status = "firing"
    version: str = VERSION
    group_labels: Text = {}
    common_labels: Text = {}
    common_annotations: Text = {}
    external_url: str = ""
    truncated_alerts: Annotated[int, msgspec.Meta(ge=0)] = 0
    notification_reason: str = ""
    route_labels: Text = {}

    @property
    def version_known(self) -> bool:
        """Whether the payload says it is of the version that this module was written for."""
        return self.version == VERSION


_DECODER: Final = msgspec.json.Decoder(Snapshot)


def parse_snapshot(body: bytes) -> Snapshot:
    """Return the snapshot that a webhook's body holds.

    A body of another version that still has this shape is taken; see `Snapshot.version_known`.
    Raises PayloadError: `not_json`, or `payload` naming the place that is not as expected.
    """
    try:
        snapshot = _DECODER.decode(body)
    except msgspec.ValidationError as err:
        raise PayloadError("payload", f"not a payload of version {VERSION}: {err}") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise PayloadError("not_json", f"not JSON: {err}") from err
    except RecursionError as err:
        raise PayloadError("not_json", "not JSON: nested too deeply") from err
    for number, alert in enumerate(snapshot.alerts):
        _check_moments(alert, number)
    return snapshot


def _check_moments(alert: Alert, number: int) -> None:
    for key, text in (("startsAt", alert.starts_at), ("endsAt", alert.ends_at)):
        try:
            instant(text)
        except ValueError as err:
            raise PayloadError("payload", f"not a payload of version {VERSION}: alerts[{number}].{key}: {err}") from err


def instant(text: str) -> int:
    """Return an RFC 3339 moment in nanoseconds since 1970 (negative before); an empty text is 0.

    Raises ValueError saying what was expected.
    """
    if not text:
        return 0
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError("expected a moment such as 2026-11-20T15:06:21.207Z")
    whole, fraction, zone = match.groups()
    try:
        since = datetime.fromisoformat(whole + zone) - _EPOCH
    except (ValueError, OverflowError) as err:
        raise ValueError(f"expected a moment such as 2026-11-20T15:06:21.207Z: {err}") from err
    seconds = since.days * 86400 + since.seconds
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def news_digest(snapshot: Snapshot) -> bytes:
    """Return 32 bytes that are equal for copies of one snapshot, whichever Alertmanager of a cluster sent it."""
    news = sorted(
        (alert.identity, alert.status, alert.starts_at, alert.ends_at if alert.status == "resolved" else "")
        for alert in snapshot.alerts
    )
    head = (snapshot.receiver, snapshot.group_key, snapshot.status)
    return _digest((*head, *(part for alert in news for part in alert)))


def _flat(labels: Text) -> Iterable[str]:
    return (part for pair in sorted(labels.items()) for part in pair)


def _digest(parts: Iterable[str]) -> bytes:
    """Hash texts so that no two different lists of them give the same input."""
    out = hashlib.sha256()
    for part in parts:
        data = part.encode()
        out.update(len(data).to_bytes(8, "big") + data)
    return out.digest()
