"""Rows from Prometheus: the hosts of a job, one query for each column."""

import math
import time
from collections.abc import Iterable, Mapping
from typing import Final

from exporter.clients.http_get import GetError
from exporter.clients.prometheus import Sample, fetch_targets
from exporter.fleet.asking import Asker, ask_all
from exporter.fleet.host_keys import Key, key_of, label_names
from exporter.fleet.host_queries import queries
from exporter.fleet.model import Progress, Row, Snapshot, SourceError, Status, Thresholds, judge, unseen

_ALERT_LABELS: Final = ("environment", "instance")


class PrometheusSource:
    """The hosts that a Prometheus scrapes; the target label `by` makes services of them, job where it is missing."""

    def __init__(
        self,
        asker: Asker,
        *,
        thresholds: Thresholds = Thresholds(),  # noqa: B008 -- never changes
        by: str = "role",
        job: str = "node",
    ) -> None:
        self.name = asker.url
        self._asker = asker
        self._thresholds = thresholds
        self._by = by
        self._job = job

    def fetch(self, service: str | None = None, progress: Progress = unseen) -> Snapshot:
        """Return all hosts, or those of one service, by name.

        Blocks, a query's time for each of them at most. A column whose query fails is empty and told among the faults.
        Raises SourceError when there is no list of hosts.
        """
        answers = ask_all(self._asker, queries(self._job), progress)
        faults = answers.faults
        if "up" in faults:
            raise SourceError(f"Prometheus {self.name}: {faults['up']}")
        rows = self._rows(answers.samples, knows_alerts="alerts" not in faults)
        told = tuple(f"{column}: {why}" for column, why in faults.items())
        return Snapshot(tuple(row for row in rows if service in (None, row.service)), time.time(), 0, told)

    def _rows(self, answers: Mapping[str, tuple[Sample, ...]], *, knows_alerts: bool) -> list[Row]:
        names = label_names(answers["up"])
        columns = {name: _by_labels(answers[name], names) for name in ("up", "cpu", "memory", "disk")}
        alerts = _by_labels(answers["alerts"], _ALERT_LABELS)
        down = self._why_down(names) if 0 in columns["up"].values() else {}
        rows = []
        for sample in answers["up"]:
            labels = {name: value for name, value in sample.labels.items() if name != "__name__"}
            key = key_of(labels, names)
            values = {name: columns[name].get(key) for name in ("cpu", "memory", "disk")}
            is_up = columns["up"].get(key) == 1
            status, reason = self._judge(values) if is_up else (Status.UNHEALTHY, f"down: {down.get(key, 'no scrape')}")
            rows.append(
                Row(
                    labels.get("instance", ""),
                    labels.get(self._by) or labels.get("job"),
                    values["cpu"] if is_up else None,
                    values["memory"] if is_up else None,
                    status,
                    reason,
                    values["disk"] if is_up else None,
                    _alerts_of(labels, alerts) if knows_alerts else None,
                    labels,
                )
            )
        return sorted(rows, key=lambda row: (row.name, sorted(row.labels.items())))

    def _judge(self, values: Mapping[str, float | None]) -> tuple[Status, str]:
        limits = self._thresholds
        judged = {"cpu": (values["cpu"], limits.cpu), "memory": (values["memory"], limits.memory)}
        if values["disk"] is not None:  # a host without a file system of its own is no fault
            judged["disk"] = (values["disk"], limits.disk)
        return judge(judged)

    def _why_down(self, names: Iterable[str]) -> dict[Key, str]:
        """Return what the last scrape of each target said; nothing where that cannot be learned."""
        try:
            targets = fetch_targets(self.name, time.monotonic() + self._asker.seconds, self._asker.access)
        except GetError:
            return {}
        return {key_of(target.labels, names): target.last_error for target in targets if target.last_error}


def _alerts_of(labels: Mapping[str, str], alerts: Mapping[Key, float]) -> int:
    """Return how many fire for a host; one whose expression lost the environment may be of any host of that name."""
    keys = {key_of(labels, _ALERT_LABELS), ("", labels.get("instance", ""))}
    return sum(int(alerts.get(key, 0)) for key in keys)


def _by_labels(samples: Iterable[Sample], names: Iterable[str]) -> dict[Key, float]:
    """Return values by what some labels say; NaN is none."""
    return {key_of(sample.labels, names): sample.number for sample in samples if math.isfinite(sample.number)}
