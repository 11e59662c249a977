"""Alertmanager's HTTP API (version 2), as far as we need it. Blocks. The formats: its openapi.yaml."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from exporter.clients.http_get import Access, GetError, get

# 1 kB an alert: 30,000 of them
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024

T = TypeVar("T")


class AlertStatus(msgspec.Struct, frozen=True, rename={"silenced_by": "silencedBy", "inhibited_by": "inhibitedBy"}):
    """Whether an alert is told (active), kept back (suppressed, and by what), or not looked at yet (unprocessed)."""

    state: str = "unprocessed"
    silenced_by: Sequence[str] = ()
    inhibited_by: Sequence[str] = ()


class Receiver(msgspec.Struct, frozen=True):
    """Whom an alert is routed to."""

    name: str


class Alert(msgspec.Struct, frozen=True, rename={"starts_at": "startsAt", "ends_at": "endsAt"}):
    """One alert that Alertmanager knows; moments as RFC 3339."""

    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    starts_at: str = ""
    ends_at: str = ""
    fingerprint: str = ""
    status: AlertStatus = AlertStatus()
    receivers: Sequence[Receiver] = ()


class _Config(msgspec.Struct, frozen=True):
    original: str = ""


class _Version(msgspec.Struct, frozen=True):
    version: str = ""


class _Cluster(msgspec.Struct, frozen=True):
    status: str = ""


class Status(msgspec.Struct, frozen=True, rename={"version_info": "versionInfo"}):
    """What Alertmanager says of itself."""

    config: _Config = _Config()
    version_info: _Version = _Version()
    cluster: _Cluster = _Cluster()
    uptime: str = ""
    """Since when it runs (RFC 3339)."""

    @property
    def configuration(self) -> str:
        """The configuration in force, as YAML without secrets."""
        return self.config.original

    @property
    def version(self) -> str:
        """Its version, such as 0.28.1."""
        return self.version_info.version


def fetch_status(base_url: str, deadline: float, access: Access) -> Status:
    """Return version and configuration. Blocks until `deadline` (time.monotonic()) at most; raises GetError."""
    return _fetch(base_url, "status", Status, deadline, access)


def fetch_alerts(base_url: str, deadline: float, access: Access) -> tuple[Alert, ...]:
    """Return all alerts, silenced and inhibited ones too. Blocks until `deadline` at most; raises GetError."""
    return _fetch(base_url, "alerts", tuple[Alert, ...], deadline, access)


def _fetch(base_url: str, path: str, kind: type[T], deadline: float, access: Access) -> T:
    answer = get(f"{base_url.rstrip('/')}/api/v2/{path}", deadline, MAX_ANSWER_BYTES, access)
    if answer.status != 200:
        raise GetError(f"HTTP status {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise GetError(f"not what Alertmanager answers to {path}") from err
