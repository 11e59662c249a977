"""The relay's own metrics, in a registry of their own. Names begin with `relay_`; HELP ends with the source."""

import platform
from typing import Final, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from exporter import __version__
from exporter.relay.intake import Reason

# why a webhook was refused: a closed set, each there from the start
REJECTIONS: Final = (*get_args(Reason), "token", "too_large", "timeout", "disconnected", "queue_full", "store", "fault")


class Metrics:
    """What the relay counts. What state its parts are in stands in gauges.py."""

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
        self.discarded = self._counter(
            "dead_letters_discarded", "Dead letters that somebody discarded (POST /api/v1/dead-letters/discard)."
        )
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

    def watch(self, state: Collector) -> None:
        """Expose the state of the relay's parts, too."""
        self.registry.register(state)

    def page(self, accept: str | None) -> tuple[bytes, str]:
        """Return the page and its content type for an Accept header."""
        encode, content_type = choose_encoder(accept or "")
        return encode(self.registry), content_type

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"relay_{name}", help_, labels, registry=self.registry)
