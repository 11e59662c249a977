"""Containers as Prometheus tells them: all of them, what has ended first, and hosts that tell nothing."""

from collections.abc import Iterator, Mapping

import pytest

from exporter.clients.prometheus import Sample
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


def twins(column: str, told: Mapping[str, float], **more: str) -> dict[str, list[Sample]]:
    """Return a column of the container `web` on the host `app` of each environment."""
    own = {"job": "node", "instance": "app", "name": "web", **more}
    return {column: [sample({**own, "environment": name}, value) for name, value in told.items()]}


NOTHING: dict[str, list[Sample]] = {name: [] for name in queries("node")}


def test_hosts_of_one_name_in_two_environments_keep_what_is_theirs() -> None:
    both = {"production": 1.0, "staging": 1.0}
    told = NOTHING | twins("state", both, image="shop", state="exited")
    told |= twins("exit_code", {"production": 137, "staging": 0})
    told |= twins("finished", {"production": 200, "staging": 300})
    versions = {"production": "1.0", "staging": "2.0"}
    info = [twins("info", {name: 1.0}, image="shop", version=version) for name, version in versions.items()]
    told["info"] = [one for column in info for one in column["info"]]
    assert assemble(told, NOW).containers == (
        Container("production", "app", "web", "exited", "shop", "1.0", 200.0, 137),
        Container("staging", "app", "web", "exited", "shop", "2.0", 300.0, 0),
    )


def test_any_label_of_a_target_keeps_hosts_of_one_name_apart() -> None:
    own = {"instance": "app", "environment": "production", "name": "web"}
    told = dict(NOTHING)
    places = {"east": 137, "west": 0}
    told["state"] = [sample({**own, "image": "shop", "state": "exited", "site": site}) for site in places]
    told["exit_code"] = [sample({**own, "site": site}, code) for site, code in places.items()]
    # labels of containers that the settings want stand on this one alone
    told["info"] = [sample({**own, "site": "east", "image": "shop", "version": "1", "compose_service": "shop"})]
    assert [(one.exit_code, one.version) for one in assemble(told, NOW).containers] == [(137, "1"), (0, None)]
    told["down"] = [sample({"__name__": "up", "instance": "app", "environment": "production", "site": "north"}, 0)]
    assert assemble(told, NOW).silent == (SilentHost("production", "app", "does not answer Prometheus"),)


@pytest.mark.parametrize("column", ["down", "silent"])
def test_a_silent_host_is_told_of_though_another_environment_has_one_of_its_name(column: str) -> None:
    told = NOTHING | twins("state", {"staging": 1}, image="shop", state="running")
    told[column] = [sample({"job": "node", "instance": "app", "environment": "production"}, 0)]
    assert [(one.environment, one.host) for one in assemble(told, NOW).silent] == [("production", "app")]


def test_a_host_whose_other_labels_changed_within_the_hour_is_not_silent() -> None:
    told = NOTHING | twins("state", {"production": 1}, image="shop", state="running", role="web")
    told["silent"] = [sample({"job": "node", "instance": "app", "environment": "production", "role": "old"}, 1)]
    assert assemble(told, NOW).silent == ()


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
    found = assemble(NOTHING, NOW)
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
    told = NOTHING | {
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
