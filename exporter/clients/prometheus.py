"""Prometheus' HTTP API, as far as we need it. Blocks. The formats: prometheus.io, "HTTP API"."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from exporter.clients.http_get import Access, GetError, get

# about 2 kB a target: 4,000 of them; 300 bytes a series of an answer: 100,000; 500 bytes a rule and its alerts: 60,000
MAX_TARGETS_BYTES: Final = 8 * 1024 * 1024
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024

T = TypeVar("T")


class Target(msgspec.Struct, frozen=True, rename={"scrape_url": "scrapeUrl", "last_error": "lastError"}):
    """One address that Prometheus scrapes now, with its labels."""

    labels: Mapping[str, str] = {}
    scrape_url: str = ""
    health: str = "unknown"
    last_error: str = ""


class Sample(msgspec.Struct, frozen=True, rename={"labels": "metric"}):
    """One series of an instant query's answer: its labels, and its value at the time asked for."""

    labels: Mapping[str, str]
    value: tuple[float, str]

    @property
    def number(self) -> float:
        """The value as Prometheus writes it: NaN, +Inf and -Inf are floats, too."""
        return float(self.value[1])


class Alert(msgspec.Struct, frozen=True, rename={"active_at": "activeAt"}):
    """One alert that is pending or firing; `active_at` is when its expression began to hold (RFC 3339)."""

    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    state: str = "inactive"
    active_at: str = ""
    value: str = ""


class Rule(msgspec.Struct, frozen=True, rename={"last_error": "lastError", "keep_firing_for": "keepFiringFor"}):
    """One rule as Prometheus has loaded it; `duration` and `keep_firing_for` in seconds, for alerts only."""

    name: str
    type: str
    query: str = ""
    health: str = "unknown"
    last_error: str = ""
    state: str = "inactive"
    duration: float = 0.0
    keep_firing_for: float = 0.0
    labels: Mapping[str, str] = {}
    alerts: Sequence[Alert] = ()


class RuleGroup(msgspec.Struct, frozen=True):
    """Rules that are evaluated one after the other, every `interval` seconds."""

    name: str
    file: str = ""
    interval: float = 0.0
    rules: Sequence[Rule] = ()


class _Targets(msgspec.Struct, rename={"active": "activeTargets"}):
    active: tuple[Target, ...] = ()


class _Vector(msgspec.Struct, rename={"kind": "resultType"}):
    kind: str
    result: msgspec.Raw = msgspec.Raw(b"[]")


class _Alerts(msgspec.Struct):
    alerts: tuple[Alert, ...] = ()


class _Groups(msgspec.Struct):
    groups: tuple[RuleGroup, ...] = ()


class _Config(msgspec.Struct):
    yaml: str


class _Managers(msgspec.Struct, rename={"active": "activeAlertmanagers"}):
    active: tuple[Mapping[str, str], ...] = ()


class _Outcome(msgspec.Struct):
    status: str
    error: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


def fetch_targets(base_url: str, deadline: float, access: Access) -> tuple[Target, ...]:
    """Return all active targets. Blocks until `deadline` (time.monotonic()) at most; raises GetError."""
    return _fetch(_url(base_url, "targets?state=active"), _Targets, "list of targets", deadline, access).active


def fetch_vector(base_url: str, query: str, deadline: float, access: Access) -> tuple[Sample, ...]:
    """Return the answer of an instant query, now. Blocks until `deadline` (time.monotonic()) at most.

    Raises GetError, also for an answer that is no instant vector; of a query that Prometheus refuses it has the reason.
    """
    url = _url(base_url, "query?" + urlencode({"query": query}))
    answer = _fetch(url, _Vector, "answer of a query", deadline, access)
    if answer.kind != "vector":
        raise GetError(f"expected an instant vector, got {answer.kind[:40]}")
    return _decoded(answer.result, tuple[Sample, ...], "instant vector")


def fetch_alerts(base_url: str, deadline: float, access: Access) -> tuple[Alert, ...]:
    """Return what is pending or firing. Blocks until `deadline` (time.monotonic()) at most; raises GetError."""
    return _fetch(_url(base_url, "alerts"), _Alerts, "list of alerts", deadline, access).alerts


def fetch_rules(base_url: str, deadline: float, access: Access) -> tuple[RuleGroup, ...]:
    """Return all loaded rules, by group. Blocks until `deadline` (time.monotonic()) at most; raises GetError."""
    return _fetch(_url(base_url, "rules"), _Groups, "list of rules", deadline, access).groups


def fetch_config(base_url: str, deadline: float, access: Access) -> str:
    """Return the configuration in force, as YAML without secrets; its paths are from the root of Prometheus' machine.

    Blocks until `deadline` (time.monotonic()) at most; raises GetError.
    """
    return _fetch(_url(base_url, "status/config"), _Config, "configuration", deadline, access).yaml


def fetch_alertmanagers(base_url: str, deadline: float, access: Access) -> tuple[str, ...]:
    """Return the addresses that alerts are sent to. Blocks until `deadline` (time.monotonic()); raises GetError."""
    found = _fetch(_url(base_url, "alertmanagers"), _Managers, "list of Alertmanagers", deadline, access)
    return tuple(one.get("url", "") for one in found.active)


def _url(base_url: str, path: str) -> str:
    return f"{base_url.rstrip('/')}/api/v1/{path}"


def _fetch(url: str, kind: type[T], what: str, deadline: float, access: Access) -> T:
    limit = MAX_TARGETS_BYTES if kind is _Targets else MAX_ANSWER_BYTES
    answer = get(url, deadline, limit, access)
    if answer.status not in {200, 400, 422, 503}:  # the last three come with a reason
        raise GetError(f"HTTP status {answer.status}")
    try:
        outcome = _decoded(answer.body, _Outcome, what)
    except GetError as err:
        raise err if answer.status == 200 else GetError(f"HTTP status {answer.status}") from err
    if outcome.status != "success" or outcome.data == b"null":
        raise GetError(outcome.error[:200] or f"its status is {outcome.status[:40]!r}")
    return _decoded(outcome.data, kind, what)


def _decoded(body: bytes | msgspec.Raw, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise GetError(f"not the {what} that was expected") from err
