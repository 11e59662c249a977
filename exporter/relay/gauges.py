"""The state of the relay's parts as metrics, read when somebody scrapes. What is not known has no sample."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.relay.pace import POST, UPDATE
from exporter.relay.parts import Parts

Values = Mapping[tuple[str, ...], float]


class Row(NamedTuple):
    """One family; `read` gives None for no sample, or a value for each set of labels."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    read: Callable[[Parts], float | Values | None]
    labels: tuple[str, ...] = ()


def _calls(parts: Parts) -> Values:
    return {(method,): float(parts.delivery.state.calls.get(method, 0)) for method in (POST, UPDATE)}


def _errors(parts: Parts) -> Values:
    return {pair: float(count) for pair, count in parts.delivery.state.errors.items()}


def _pauses(parts: Parts) -> Values:
    return {(method,): parts.delivery.pauses.get(method, 0.0) for method in (POST, UPDATE)}


def _evidence_failures(parts: Parts) -> Values:
    return {(reason,): float(count) for reason, count in parts.evidence.failures.items()}


def _reconcile_failures(parts: Parts) -> Values | None:
    if parts.reconciler is None:
        return None
    return {(reason,): float(count) for reason, count in parts.reconciler.failures.items()}


def _token_source(parts: Parts) -> float | None:
    return None if parts.source is None else float(parts.source.state.ok)


ROWS: Final = (
    Row(
        "relay_queue_depth",
        "gauge",
        "All that waits on disk: snapshots, messages and threads (queue).",
        lambda parts: parts.queue.stats.depth,
    ),
    Row(
        "relay_queue_limit",
        "gauge",
        "How much may wait before webhooks are refused (settings, limits.queue_snapshots).",
        lambda parts: parts.settings.limits.queue_snapshots,
    ),
    Row(
        "relay_queue_snapshots",
        "gauge",
        "Snapshots that are not read yet (table snapshots).",
        lambda parts: parts.queue.stats.snapshots,
    ),
    Row(
        "relay_queue_messages",
        "gauge",
        "Messages of which Slack shows less than is known (table episodes).",
        lambda parts: parts.queue.stats.messages,
    ),
    Row(
        "relay_queue_threads",
        "gauge",
        "Threads that lack lines in Slack (table lines).",
        lambda parts: parts.queue.stats.threads,
    ),
    Row(
        "relay_queue_oldest_timestamp_seconds",
        "gauge",
        "When what waits longest came, in seconds since 1970; absent if nothing waits (queue).",
        lambda parts: parts.queue.stats.oldest_received,
    ),
    Row(
        "relay_dead_letters",
        "gauge",
        "Bodies that nobody could read or deliver, kept (table dead_letters).",
        lambda parts: parts.queue.stats.dead_letters,
    ),
    Row(
        "relay_episodes_firing",
        "gauge",
        "Groups whose message says that something fires (table episodes).",
        lambda parts: parts.queue.stats.firing,
    ),
    Row(
        "relay_store_writable",
        "gauge",
        "1 if the last write to the database succeeded (queue).",
        lambda parts: parts.queue.writable,
    ),
    Row(
        "relay_store_failures_total",
        "counter",
        "Calls that the database failed (queue).",
        lambda parts: parts.queue.failures,
    ),
    Row(
        "relay_message_failures_total",
        "counter",
        "Groups whose message could not be made (delivery).",
        lambda parts: parts.delivery.state.failed,
    ),
    Row(
        "relay_webhook_token_last_read_successful",
        "gauge",
        "1 if the token file was usable when it changed last (file token_file).",
        lambda parts: parts.token.last_read_ok,
    ),
    Row(
        "relay_slack_calls_total",
        "counter",
        "Calls to Slack that were begun, by method (delivery).",
        _calls,
        ("method",),
    ),
    Row(
        "relay_slack_errors_total",
        "counter",
        "Calls to Slack that failed, by what that means and Slack's own code; rare codes are `other` (delivery).",
        _errors,
        ("kind", "code"),
    ),
    Row(
        "relay_slack_messages_total",
        "counter",
        "Messages that Slack took, updates of one too (delivery).",
        lambda parts: parts.delivery.state.messages,
    ),
    Row(
        "relay_slack_lines_total",
        "counter",
        "Lines of threads that Slack took (delivery).",
        lambda parts: parts.delivery.state.lines,
    ),
    Row(
        "relay_slack_copies_total",
        "counter",
        "Calls repeated, and marked so, since nobody knows whether Slack took the first (delivery).",
        lambda parts: parts.delivery.state.copies,
    ),
    Row(
        "relay_slack_undeliverable_total",
        "counter",
        "Messages that Slack refused for their form, as plain text too; they are dead letters now (delivery).",
        lambda parts: parts.delivery.state.undeliverable,
    ),
    Row(
        "relay_slack_last_success_timestamp_seconds",
        "gauge",
        "When Slack took a message last, in seconds since 1970; absent before the first (delivery).",
        lambda parts: parts.delivery.state.last_success,
    ),
    Row(
        "relay_slack_failing_since_timestamp_seconds",
        "gauge",
        "Since when every call to Slack has failed, in seconds since 1970; absent while it works (delivery).",
        lambda parts: parts.delivery.state.failing_since,
    ),
    Row(
        "relay_slack_pause_seconds",
        "gauge",
        "How long Slack wants to be left alone from now on, by method (Retry-After).",
        _pauses,
        ("method",),
    ),
    Row(
        "relay_token_source_ok",
        "gauge",
        "1 if the source of the Slack token works; absent in preview (Vault or slack.token_file).",
        _token_source,
    ),
    Row(
        "relay_token_present",
        "gauge",
        "1 if there is a Slack token in force; 0 in preview too (memory).",
        lambda parts: parts.source is not None and parts.source.current() is not None,
    ),
    Row(
        "relay_watchdogs_total",
        "counter",
        "Watchdogs that came and are on disk (POST /alertmanager).",
        lambda parts: parts.watchdog.beats,
    ),
    Row(
        "relay_watchdog_age_seconds",
        "gauge",
        "Time since the Watchdog came last; absent before the first since the start (monotonic clock).",
        lambda parts: parts.watchdog.age,
    ),
    Row(
        "relay_watchdog_silent",
        "gauge",
        "1 while Slack is told that the Watchdog stays away (watchdog).",
        lambda parts: parts.watchdog.silent_since is not None,
    ),
    Row(
        "relay_heartbeats_total",
        "counter",
        "Calls of the address outside that were answered well (heartbeat).",
        lambda parts: parts.heartbeat.sent,
    ),
    Row(
        "relay_heartbeat_failures_total",
        "counter",
        "Calls of the address outside that failed (heartbeat).",
        lambda parts: parts.heartbeat.failures,
    ),
    Row(
        "relay_heartbeat_last_success_timestamp_seconds",
        "gauge",
        "When the address outside answered well last, in seconds since 1970; absent before (heartbeat).",
        lambda parts: parts.heartbeat.last_success,
    ),
    Row(
        "relay_evidence_fetches_total",
        "counter",
        "Alerts for which evidence was wanted (evidence).",
        lambda parts: parts.evidence.fetches,
    ),
    Row(
        "relay_evidence_failures_total",
        "counter",
        "Alerts that went without the evidence that was wanted, by reason (evidence).",
        _evidence_failures,
        ("reason",),
    ),
    Row(
        "relay_reconciled_total",
        "counter",
        "Alerts told as resolved since no Alertmanager knows them any more; absent if none is named (reconcile).",
        lambda parts: None if parts.reconciler is None else parts.reconciler.reconciled,
    ),
    Row(
        "relay_reconcile_failures_total",
        "counter",
        "Looks at what the Alertmanagers know that failed, by reason; absent if none is named (reconcile).",
        _reconcile_failures,
        ("reason",),
    ),
)


class State(Collector):
    """All rows at the moment of a scrape."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def describe(self) -> Iterable[Metric]:
        """Return the families: the registry asks for the names once."""
        return [_family(row) for row in ROWS]

    def collect(self) -> Iterable[Metric]:
        """Return the families with their values."""
        for row in ROWS:
            family, found = _family(row), row.read(self._parts)
            values = found if isinstance(found, Mapping) else {} if found is None else {(): found}
            for labels, value in values.items():
                family.add_metric(labels, float(value))
            yield family


def _family(row: Row) -> GaugeMetricFamily | CounterMetricFamily:
    if row.kind == "gauge":
        return GaugeMetricFamily(row.name, row.help, labels=row.labels)
    return CounterMetricFamily(row.name.removesuffix("_total"), row.help, labels=row.labels)
