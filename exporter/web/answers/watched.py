"""What this machine watches: hosts that it pings, services that it checks, containers."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from exporter.history import ContainerRow
from exporter.web.answers.fields import Number, Text, Whole, number, text, whole
from exporter.web.rows import Rows

LATENCY_FROM = ("ping",)
SERVICES_FROM = ("services",)
CONTAINERS_FROM = ("containers",)
MAX_CONTAINERS = 500
"""Containers that are told of: first those that do not run, then those that use most."""


class Target(msgspec.Struct, frozen=True):
    """A host that is pinged, as the last round found it."""

    target: str
    latency_seconds: Number = UNSET
    """Median of the round trips; missing while nothing answers."""
    jitter_seconds: Number = UNSET
    sent_total: Whole = UNSET
    received_total: Whole = UNSET
    failure: Text = UNSET
    """Why no packet of the last round was answered."""
    last_attempt_timestamp_seconds: Number = UNSET


class Latency(msgspec.Struct, frozen=True):
    """The hosts that are pinged."""

    targets: list[Target] | UnsetType = UNSET


class Service(msgspec.Struct, frozen=True):
    """A check, as its last attempt ended."""

    check: str
    kind: str
    up: bool | UnsetType = UNSET
    """Missing where the attempt could not ask, which says nothing about the service."""
    failure: Text = UNSET
    duration_seconds: Number = UNSET
    """All phases of the last attempt together."""
    last_attempt_timestamp_seconds: Number = UNSET
    certificate_expiry_timestamp_seconds: Number = UNSET


class Services(msgspec.Struct, frozen=True):
    """The checks."""

    services: list[Service] | UnsetType = UNSET


class Container(msgspec.Struct, frozen=True):
    """One container."""

    name: str
    image: str
    state: str
    version: Text = UNSET
    health: Text = UNSET
    exit_code: Whole = UNSET
    restarts_total: Whole = UNSET
    started_timestamp_seconds: Number = UNSET
    finished_timestamp_seconds: Number = UNSET
    cpu_cores: Number = UNSET
    """In use between the last two looks; of the twenty that use most."""
    memory_bytes: Whole = UNSET


class Containers(msgspec.Struct, frozen=True):
    """The containers of this machine's engine; at most 500 of them, those first that do not run."""

    containers: list[Container] | UnsetType = UNSET
    containers_by_state: dict[str, int] | UnsetType = UNSET


def latency(rows: Rows) -> Latency:
    """Return the hosts that are pinged and have had a round."""
    sent = rows.by("target", "host_ping_sent_total")
    received = rows.by("target", "host_ping_received_total")
    rtt, jitter = rows.by("target", "host_ping_latency_seconds"), rows.by("target", "host_ping_jitter_seconds")
    last = rows.by("target", "host_ping_last_attempt_timestamp_seconds")
    why = {labels["target"]: labels["reason"] for labels, _ in rows.all("host_ping_failure_info")}
    targets = [
        Target(
            name,
            number(rtt.get(name)),
            number(jitter.get(name)),
            whole(sent.get(name)),
            whole(received.get(name)),
            text(why.get(name)),
            number(last.get(name)),
        )
        for name in sorted(sent)
    ]
    return Latency(targets or UNSET)


def services(rows: Rows) -> Services:
    """Return the checks that were tried."""
    up = _by_check(rows, "host_service_up")
    last = _by_check(rows, "host_service_last_attempt_timestamp_seconds")
    expiry = _by_check(rows, "host_service_certificate_expiry_timestamp_seconds")
    why = {(f["check"], f["kind"]): f["reason"] for f, _ in rows.all("host_service_failure_info")}
    took: dict[tuple[str, str], float] = {}
    for labels, value in rows.all("host_service_duration_seconds"):
        key = labels["check"], labels["kind"]
        took[key] = took.get(key, 0.0) + value
    found = [
        Service(
            *key,
            up[key] > 0 if key in up else UNSET,
            text(why.get(key)),
            number(took.get(key)),
            number(last.get(key)),
            number(expiry.get(key)),
        )
        for key in sorted(last.keys() | up.keys())
    ]
    return Services(found or UNSET)


def _by_check(rows: Rows, name: str) -> Mapping[tuple[str, str], float]:
    return {(labels["check"], labels["kind"]): value for labels, value in rows.all(name)}


def containers(rows: Rows, tops: list[ContainerRow] | None) -> Containers:
    """Return the containers, those first that do not run."""
    states = [labels for labels, value in rows.all("host_container_state") if value]
    if not states:
        return Containers()
    cores = {row.name: row.cpu_cores for row in tops or ()}
    version = {labels["name"]: labels.get("version", "") for labels, _ in rows.all("host_container_info")}
    health = {labels["name"]: labels["status"] for labels, value in rows.all("host_container_health") if value}
    counts = {
        name: rows.by("name", f"host_container_{name}")
        for name in (
            "exit_code",
            "restarts_total",
            "started_timestamp_seconds",
            "finished_timestamp_seconds",
            "memory_usage_bytes",
        )
    }
    found = [
        Container(
            name := labels["name"],
            labels["image"],
            labels["state"],
            text(version.get(name)),
            text(health.get(name)),
            whole(counts["exit_code"].get(name)),
            whole(counts["restarts_total"].get(name)),
            number(counts["started_timestamp_seconds"].get(name)),
            number(counts["finished_timestamp_seconds"].get(name)),
            number(cores.get(name)),
            whole(counts["memory_usage_bytes"].get(name)),
        )
        for labels in states
    ]
    used = counts["memory_usage_bytes"]
    found.sort(key=lambda one: (one.state == "running", -used.get(one.name, 0), one.name))
    by_state: dict[str, int] = {}
    for one in found:
        by_state[one.state] = by_state.get(one.state, 0) + 1
    return Containers(found[:MAX_CONTAINERS], by_state)
