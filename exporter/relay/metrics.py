"""The relay's own metrics, in a registry of their own. Names begin with `relay_`; HELP ends with the source."""

import platform
from collections.abc import Callable, Iterable
from typing import Final, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from exporter import __version__
from exporter.relay.intake import Reason
from exporter.relay.queue import DurableQueue
from exporter.relay.settings import Limits

# why a webhook was refused: a closed set, each there from the start
REJECTIONS: Final = (*get_args(Reason), "token", "too_large", "timeout", "disconnected", "queue_full", "store", "fault")


class Metrics:
    """What the relay counts. The state of the queue is read when somebody scrapes."""

    def __init__(self) -> None:
        # a series more per counter, which nobody asked for
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = self._counter(
            "webhook_requests", "Webhooks that came in, refused ones too (POST /alertmanager)."
        )
        self.rejected = self._counter(
            "webhook_rejected", "Webhooks that were refused, by reason (POST /alertmanager).", "reason"
        )
        for reason in REJECTIONS:
            self.rejected.labels(reason)
        self.stored = self._counter("snapshots_stored", "Snapshots on disk before they were answered with 200 (queue).")
        self.other_versions = self._counter(
            "webhook_other_versions", "Webhooks taken though their payload has another version than 4 (intake)."
        )
        self.previewed = self._counter("messages_previewed", "Messages logged and shown, not sent (preview mode).")
        self.last_stored = Gauge(
            "relay_webhook_last_stored_timestamp_seconds",
            "When a webhook was stored last, in seconds since 1970; 0 before the first (intake).",
            registry=self.registry,
        )
        info = Gauge(
            "relay_build_info",
            "1; the version of the relay and of its Python are labels (package).",
            ("version", "python"),
            registry=self.registry,
        )
        info.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)

    def watch(
        self, queue: DurableQueue, limits: Limits, *, failed: Callable[[], int], token_ok: Callable[[], bool]
    ) -> None:
        """Expose the state of the relay's parts, too."""
        self.registry.register(_State(queue, limits, failed, token_ok))

    def page(self, accept: str | None) -> tuple[bytes, str]:
        """Return the page and its content type for an Accept header."""
        encode, content_type = choose_encoder(accept or "")
        return encode(self.registry), content_type

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"relay_{name}", help_, labels, registry=self.registry)


class _State(Collector):
    """The queue as it is at the moment of a scrape."""

    def __init__(
        self, queue: DurableQueue, limits: Limits, failed: Callable[[], int], token_ok: Callable[[], bool]
    ) -> None:
        self._queue, self._limits, self._failed, self._token_ok = queue, limits, failed, token_ok

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples: the registry asks for the names once."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """Return the families with their values."""
        stats = self._queue.stats
        yield _gauge("queue_depth", "Snapshots on disk that wait for delivery (table snapshots).", stats.depth)
        yield _gauge(
            "queue_limit", "Snapshots that may wait (settings, limits.queue_snapshots).", self._limits.queue_snapshots
        )
        oldest = GaugeMetricFamily(
            "relay_queue_oldest_timestamp_seconds",
            "When the snapshot that waits longest came, in seconds since 1970; absent if none waits (table snapshots).",
        )
        if stats.oldest_received is not None:
            oldest.add_metric([], stats.oldest_received)
        yield oldest
        yield _gauge(
            "dead_letters", "Bodies that nobody could read or deliver, kept (table dead_letters).", stats.dead_letters
        )
        yield _gauge(
            "episodes_firing", "Groups whose message says that something fires (table episodes).", stats.firing
        )
        yield _gauge("store_writable", "1 if the last write to the database succeeded (queue).", self._queue.writable)
        yield _counter("store_failures", "Calls that the database failed (queue).", self._queue.failures)
        yield _counter("message_failures", "Groups whose message could not be made (delivery).", self._failed())
        yield _gauge(
            "webhook_token_last_read_successful",
            "1 if the token file was usable when it changed last (file token_file).",
            self._token_ok(),
        )


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"relay_{name}", help_, value=float(value))


def _counter(name: str, help_: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"relay_{name}", help_, value=float(value))
