"""Hosts of Prometheus: a query for each column, and a row for each host, whatever is missing."""

import math
from collections.abc import Iterator, Sequence

import pytest

from exporter.clients.prometheus import Sample
from exporter.fleet.asking import Asker
from exporter.fleet.host_queries import queries, quoted
from exporter.fleet.model import Row, SourceError, Status, Thresholds
from exporter.fleet.prometheus_source import PrometheusSource
from tests.support.fake_prometheus import FakePrometheus
from tests.support.fake_prometheus import host_sample as sample

QUERIES = queries("node")


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    with FakePrometheus() as fake:
        tell(fake, "up", [sample("web-1", 1, role="web", environment="prod"), sample("web-10", 1, role="web")])
        tell(fake, "cpu", [sample("web-1", 0.5), sample("web-10", 0.76)])
        tell(fake, "memory", [sample("web-1", 0.25), sample("web-10", 0.25)])
        tell(fake, "disk", [sample("web-1", 0.5)])
        yield fake


def tell(fake: FakePrometheus, column: str, samples: Sequence[Sample]) -> None:
    fake.answers[QUERIES[column]] = samples


def source(fake: FakePrometheus, **more: object) -> PrometheusSource:
    return PrometheusSource(Asker(fake.url, seconds=10), **more)  # type: ignore[arg-type]


def test_every_host_is_a_row(prometheus: FakePrometheus) -> None:
    tell(prometheus, "alerts", [sample("web-10", 2)])
    first, second = source(prometheus).fetch().rows
    labels = {"job": "node", "instance": "web-1", "role": "web", "environment": "prod"}
    assert first == Row("web-1", "web", 0.5, 0.25, Status.HEALTHY, "", 0.5, 0, labels)
    assert second[:6] == ("web-10", "web", 0.76, 0.25, Status.UNHEALTHY, "cpu 76% >= 75%")
    assert (second.disk_ratio, second.alerts) == (None, 2)


def test_each_column_is_one_query(prometheus: FakePrometheus) -> None:
    source(prometheus).fetch()
    assert sorted(prometheus.asked) == sorted(QUERIES.values())


def test_a_full_disk_is_unhealthy(prometheus: FakePrometheus) -> None:
    tell(prometheus, "disk", [sample("web-1", 0.9)])
    found = source(prometheus, thresholds=Thresholds(disk=0.9)).fetch().rows[0]
    assert (found.status, found.reason) == (Status.UNHEALTHY, "disk 90% >= 90%")


def test_a_host_that_is_down_says_why_and_shows_no_old_value(prometheus: FakePrometheus) -> None:
    tell(prometheus, "up", [sample("web-1", 0, role="web")])
    target = {"labels": {"job": "node", "instance": "web-1"}, "health": "down", "lastError": "connection refused"}
    prometheus.targets = [target]
    (found,) = source(prometheus).fetch().rows
    assert (found.cpu_ratio, found.memory_ratio, found.disk_ratio) == (None, None, None)
    assert (found.status, found.reason) == (Status.UNHEALTHY, "down: connection refused")


def test_a_host_without_a_value_is_unknown(prometheus: FakePrometheus) -> None:
    tell(prometheus, "memory", [sample("web-10", 0.25), sample("web-1", math.nan)])
    found = source(prometheus).fetch().rows[0]
    assert (found.memory_ratio, found.status, found.reason) == (None, Status.UNKNOWN, "no value of memory")


@pytest.mark.parametrize(
    ("by", "services"),
    [("role", ["web", "web"]), ("environment", ["prod", "node"]), ("nothing", ["node", "node"])],
    ids=["role", "label that one lacks", "label that none has"],
)
def test_any_label_makes_services(prometheus: FakePrometheus, by: str, services: list[str]) -> None:
    assert [row.service for row in source(prometheus, by=by).fetch().rows] == services


def test_one_service_is_its_own_hosts(prometheus: FakePrometheus) -> None:
    found = source(prometheus, by="environment").fetch("prod")
    assert [row.name for row in found.rows] == ["web-1"]


def test_a_column_that_fails_is_told_and_costs_itself(prometheus: FakePrometheus) -> None:
    prometheus.failing = {QUERIES["alerts"]: "query timed out", QUERIES["memory"]: "too many samples"}
    found = source(prometheus).fetch()
    assert found.faults == ("memory: too many samples", "alerts: query timed out")
    assert [(row.cpu_ratio, row.memory_ratio, row.alerts) for row in found.rows] == [
        (0.5, None, None),
        (0.76, None, None),
    ]
    assert [row.status for row in found.rows] == [Status.UNKNOWN, Status.UNHEALTHY]


def test_without_a_list_of_hosts_there_is_nothing(prometheus: FakePrometheus) -> None:
    prometheus.failing = {QUERIES["up"]: "no storage"}
    with pytest.raises(SourceError, match=f"Prometheus {prometheus.url}: no storage"):
        source(prometheus).fetch()


def test_quoting_is_promqls() -> None:
    assert quoted('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'


@pytest.mark.parametrize("job", ["node", 'it"s \\ one\nmore'])
def test_every_query_is_promql(job: str) -> None:
    promql_parser = pytest.importorskip("promql_parser")
    for text in queries(job).values():
        promql_parser.parse(text)
