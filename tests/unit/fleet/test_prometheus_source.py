"""Hosts of Prometheus: a query for each column, and a row for each host, whatever is missing."""

import json
import math
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

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
        tell(fake, "cpu", [web_1(0.5), web_10(0.76)])
        tell(fake, "memory", [web_1(0.25), web_10(0.25)])
        tell(fake, "disk", [web_1(0.5)])
        yield fake


def web_1(value: float) -> Sample:
    return sample("web-1", value, role="web", environment="prod")


def web_10(value: float) -> Sample:
    return sample("web-10", value, role="web")


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


def test_hosts_of_one_name_in_two_environments_keep_what_is_theirs(prometheus: FakePrometheus) -> None:
    def both(column: str, production: float, staging: float) -> None:
        told = {"production": production, "staging": staging}
        tell(prometheus, column, [sample("app", value, environment=name) for name, value in told.items()])

    both("up", 0, 1)
    both("cpu", 0.8, 0.1)
    both("memory", 0.8, 0.2)
    both("disk", 0.8, 0.3)
    down = {"job": "node", "instance": "app", "environment": "production"}
    prometheus.targets = [
        {"labels": down, "health": "down", "lastError": "connection refused"},
        {"labels": {**down, "environment": "staging"}, "health": "up", "lastError": ""},
    ]
    counts = {"production": 3.0, "staging": 1.0}
    tell(prometheus, "alerts", [sample("app", count, environment=name) for name, count in counts.items()])
    first, second = source(prometheus).fetch().rows
    assert (first.labels["environment"], first.status, first.reason, first.alerts) == (
        "production", Status.UNHEALTHY, "down: connection refused", 3,
    )  # fmt: skip
    assert (second.labels["environment"], second.status, second.reason, second.alerts) == (
        "staging", Status.HEALTHY, "", 1,
    )  # fmt: skip
    assert (second.cpu_ratio, second.memory_ratio, second.disk_ratio) == (0.1, 0.2, 0.3)


def test_an_alert_that_lost_its_environment_counts_for_every_host_of_its_name(prometheus: FakePrometheus) -> None:
    hosts = [sample("app", 1, environment="production"), sample("app", 1, environment="staging"), sample("app", 1)]
    tell(prometheus, "up", hosts)
    tell(prometheus, "alerts", [sample("app", 1), sample("app", 2, environment="staging")])
    found = {row.labels.get("environment"): row.alerts for row in source(prometheus).fetch().rows}
    assert found == {None: 1, "production": 1, "staging": 3}


def test_hosts_of_one_name_always_stand_in_one_order(prometheus: FakePrometheus) -> None:
    tell(prometheus, "up", [sample("app", 1, environment=name) for name in ("staging", "production", "development")])
    order = [row.labels["environment"] for row in source(prometheus).fetch().rows]
    assert order == ["development", "production", "staging"]


def test_a_full_disk_is_unhealthy(prometheus: FakePrometheus) -> None:
    tell(prometheus, "disk", [web_1(0.9)])
    found = source(prometheus, thresholds=Thresholds(disk=0.9)).fetch().rows[0]
    assert (found.status, found.reason) == (Status.UNHEALTHY, "disk 90% >= 90%")


def test_a_host_that_is_down_says_why_and_shows_no_old_value(prometheus: FakePrometheus) -> None:
    tell(prometheus, "up", [sample("web-1", 0, role="web")])
    target = {
        "labels": {"job": "node", "instance": "web-1", "role": "web"},
        "health": "down",
        "lastError": "connection refused",
    }
    prometheus.targets = [target]
    (found,) = source(prometheus).fetch().rows
    assert (found.cpu_ratio, found.memory_ratio, found.disk_ratio) == (None, None, None)
    assert (found.status, found.reason) == (Status.UNHEALTHY, "down: connection refused")


def test_a_host_without_a_value_is_unknown(prometheus: FakePrometheus) -> None:
    tell(prometheus, "memory", [web_10(0.25), web_1(math.nan)])
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


@pytest.mark.needs("prometheus")
def test_a_read_only_file_system_hides_no_full_one_of_another_environment(tmp_path: Path) -> None:
    hosts = {environment: f'job="node",instance="app",environment="{environment}"' for environment in ("one", "two")}
    series: dict[str, float] = {}
    for environment, own in hosts.items():
        for mount, full, readonly in (("/", 0.5, 0), ("/data", 0.75, int(environment == "one"))):
            labels = f'{{{own},device="/dev/x",fstype="ext4",mountpoint="{mount}"}}'
            values = {"size_bytes": 100, "free_bytes": 100 - 100 * full, "avail_bytes": 100 - 100 * full}
            told = {**values, "readonly": readonly}
            series |= {f"node_filesystem_{name}{labels}": value for name, value in told.items()}
    wanted = [{"labels": f"{{{hosts['one']}}}", "value": 0.5}, {"labels": f"{{{hosts['two']}}}", "value": 0.75}]
    case = {
        "interval": "15s",
        "input_series": [{"series": name, "values": str(value)} for name, value in series.items()],
        "promql_expr_test": [{"expr": QUERIES["disk"], "eval_time": "0s", "exp_samples": wanted}],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [], "tests": [case]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
