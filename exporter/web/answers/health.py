"""Whether the exporter itself is well."""

from typing import Literal

import msgspec
from msgspec import UNSET

from exporter import __version__
from exporter.history import History
from exporter.web.answers.fields import Number, number
from exporter.web.rows import Rows


class Collector(msgspec.Struct, frozen=True):
    """What a collector did when it was asked for this answer."""

    collector: str
    has_rows: bool
    """False also where this machine has nothing of the kind."""
    duration_seconds: float


class Health(msgspec.Struct, frozen=True):
    """Whether the exporter is well, and what it knows."""

    status: Literal["ok", "starting", "stale", "not_sampled"]
    """`stale`: no sample for three intervals, as while a dead mount holds the sampler up."""
    version: str
    sample_interval_seconds: float
    last_sample_age_seconds: Number
    collectors: list[Collector]


def health(rows: Rows, history: History, *, is_sampled: bool) -> Health:
    """Return whether the exporter is well."""
    newest = history.past.newest()
    age = None if newest is None else max(history.since_boot(history.now()) - newest, 0.0)
    status: Literal["ok", "starting", "stale", "not_sampled"] = "ok"
    if not is_sampled:
        status = "not_sampled"
    elif age is None:
        status = "starting"
    elif age > 3 * history.interval + 1:
        status = "stale"
    took = rows.by("collector", "node_scrape_collector_duration_seconds")
    found = [
        Collector(name, value > 0, took.get(name, 0.0))
        for name, value in rows.by("collector", "node_scrape_collector_success").items()
    ]
    return Health(status, __version__, history.interval, UNSET if age is None else number(round(age, 3)), found)
