"""What the relay is made of, for those who tell of all of it: page, API, metrics."""

import time
from collections.abc import Callable

import msgspec

from exporter.relay.credentials import Source
from exporter.relay.delivery import Delivery
from exporter.relay.evidence import Evidence
from exporter.relay.heartbeat import Heartbeat
from exporter.relay.queue import DurableQueue
from exporter.relay.reconcile import Reconciler
from exporter.relay.settings import Relay
from exporter.relay.slack import Slack
from exporter.relay.token import Token
from exporter.relay.watchdog import Watchdog


class Parts(msgspec.Struct, frozen=True):
    """The parts of one relay."""

    settings: Relay
    token: Token
    queue: DurableQueue
    delivery: Delivery
    source: Source | None
    """None in preview."""
    slack: Slack
    watchdog: Watchdog
    heartbeat: Heartbeat
    evidence: Evidence
    reconciler: Reconciler | None
    """None where no Alertmanager is named."""
    delivering: Callable[[], bool]
    """Whether the delivery runs."""
    clock: Callable[[], float] = time.time
