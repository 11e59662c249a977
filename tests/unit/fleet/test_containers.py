"""Containers as Prometheus tells them: all of them, what has ended first, and hosts that tell nothing."""

from collections.abc import Iterator

import pytest

from exporter.fleet.asking import Asker
from exporter.fleet.containers import NO_ENVIRONMENT, Container, SilentHost, assemble, fetch_containers, queries
from exporter.fleet.model import SourceError
from tests.support.container_fleet import ENVIRONMENTS, NOW, answers, labels, sample
from tests.support.fake_prometheus import FakePrometheus


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    texts = queries("node")
    with FakePrometheus({texts[name]: samples for name, samples in answers().items()}) as fake:
        yield fake


def test_every_container_of_every_host_is_there_ended_ones_first(prometheus: FakePrometheus) -> None:
    found = fetch_containers(Asker(prometheus.url))
    assert len(found.containers) == len(ENVIRONMENTS) * 5 * 4 - 4
    assert found.containers[0] == Container(
        "production", "api.production", "web-0", "exited", "example.com/shop/web", "4.2.1", NOW - 887, 137
    )
    assert [one.words for one in found.containers[:4]] == [
        "exited (137)", "exited (0)", "running (unhealthy)", "restarting",
    ]  # fmt: skip
    rest = [(one.environment, one.host, one.name) for one in found.containers[4:]]
    assert rest == sorted(rest)
    assert {one.words for one in found.containers[4:]} == {"running", "running (healthy)"}
    assert found.data_at == NOW - 8
    assert sorted(prometheus.asked) == sorted(queries("node").values())


def test_a_host_that_does_not_answer_is_told_of(prometheus: FakePrometheus) -> None:
    found = fetch_containers(Asker(prometheus.url))
    assert found.silent == (SilentHost("staging", "search.staging", "does not answer Prometheus"),)


def test_a_host_whose_containers_went_missing_is_told_of() -> None:
    told = answers()
    told["down"] = []
    told["silent"] = [sample(labels("staging", "search"), 4), sample(labels("staging", "app"), 4)]
    assert assemble(told, NOW).silent == (
        SilentHost("staging", "search.staging", "told of containers within the last hour, and tells of none now"),
    )


def test_a_query_that_fails_costs_its_column(prometheus: FakePrometheus) -> None:
    prometheus.failing = {queries("node")["info"]: "too many samples"}
    found = fetch_containers(Asker(prometheus.url))
    assert found.faults == ("info: too many samples",)
    assert {one.version for one in found.containers} == {None}


def test_without_states_there_is_nothing(prometheus: FakePrometheus) -> None:
    prometheus.failing = {queries("node")["state"]: "no storage"}
    with pytest.raises(SourceError, match=f"Prometheus {prometheus.url}: no storage"):
        fetch_containers(Asker(prometheus.url))


def test_no_container_anywhere_is_an_answer() -> None:
    found = assemble({name: [] for name in queries("node")}, NOW)
    assert (found.containers, found.silent, found.data_at) == ((), (), None)


CASES = {
    "failed": (("exited", 1, None), True, 0, "exited (1)"),
    "nobody knows how it ended": (("exited", None, None), True, 0, "exited"),
    "dead": (("dead", 0, None), False, 2, "dead (0)"),
    "ended well": (("exited", 0, None), False, 2, "exited (0)"),
    "restarting": (("restarting", None, None), False, 1, "restarting"),
    "unhealthy": (("running", None, "unhealthy"), False, 1, "running (unhealthy)"),
    "starting": (("running", None, "starting"), False, 3, "running (starting)"),
    "paused": (("paused", None, None), False, 3, "paused"),
}


@pytest.mark.parametrize(("told", "has_failed", "trouble", "words"), CASES.values(), ids=CASES)
def test_what_a_state_means(
    told: tuple[str, int | None, str | None], has_failed: bool, trouble: int, words: str
) -> None:
    state, code, health = told
    one = Container("e", "h", "c", state, "i", None, None, code, health)
    assert (one.has_failed, one.trouble, one.words) == (has_failed, trouble, words)


SINCE = {"running": "started", "paused": "started", "restarting": "started", "exited": "finished", "created": "created"}


@pytest.mark.parametrize(("state", "moment"), SINCE.items())
def test_since_when_is_of_the_state(state: str, moment: str) -> None:
    told = {name: [] for name in queries("node")} | {
        name: [sample({"instance": "h", "name": "c"}, value)]
        for value, name in ((100.0, "created"), (200.0, "started"), (300.0, "finished"))
    }
    told["state"] = [sample({"instance": "h", "name": "c", "image": "i", "state": state})]
    (one,) = assemble(told, NOW).containers
    assert one.since == {"created": 100.0, "started": 200.0, "finished": 300.0}[moment]
    assert one.environment == NO_ENVIRONMENT


def test_every_query_is_promql() -> None:
    promql_parser = pytest.importorskip("promql_parser")
    for text in queries('no"de').values():
        promql_parser.parse(text)
