"""Status, averages and health of services: equal to a plain model, whatever the rows are."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.fleet.model import Row, Status, judge, percent
from exporter.fleet.views import all_healthy, health, service_stats, strays

RATIOS = st.integers(0, 1000).map(lambda tenths: tenths / 1000)
MAYBE = st.none() | RATIOS
LIMITS = st.integers(1, 1000).map(lambda tenths: tenths / 1000)
SERVICES = st.sampled_from(["A", "B", "a", "", None])


def row(name: str, service: str | None, cpu: float | None, memory: float | None, limits: tuple[float, float]) -> Row:
    status, reason = judge({"cpu": (cpu, limits[0]), "memory": (memory, limits[1])})
    return Row(name, service, cpu, memory, status, reason)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Row], tuple[float, float]]:
    limits = draw(LIMITS), draw(LIMITS)
    told = draw(st.lists(st.tuples(SERVICES, MAYBE, MAYBE), max_size=30))
    return [row(f"10.0.0.{place}", *one, limits) for place, one in enumerate(told)], limits


def model_status(cpu: float | None, memory: float | None, limits: tuple[float, float]) -> Status:
    if cpu is not None and cpu >= limits[0]:
        return Status.UNHEALTHY
    if memory is not None and memory >= limits[1]:
        return Status.UNHEALTHY
    if cpu is None or memory is None:
        return Status.UNKNOWN
    return Status.HEALTHY


def model_mean(values: list[float | None]) -> float | None:
    known = [Fraction(value) for value in values if value is not None]
    return float(sum(known) / len(known)) if known else None


@given(MAYBE, MAYBE, LIMITS, LIMITS)
def test_status_is_the_models(cpu: float | None, memory: float | None, most_cpu: float, most_memory: float) -> None:
    limits = most_cpu, most_memory
    found = row("x", "A", cpu, memory, limits)
    assert found.status is model_status(cpu, memory, limits)
    assert bool(found.reason) is (found.status is not Status.HEALTHY)


@given(fleets(), st.integers(0, 5))
def test_health_and_averages_are_the_models(fleet: tuple[list[Row], tuple[float, float]], wanted: int) -> None:
    rows, limits = fleet
    found = health(rows, wanted)
    assert [one.service for one in found] == sorted({one.service for one in rows if one.service is not None})
    for one in found:
        mine = [each for each in rows if each.service == one.service]
        statuses = [model_status(each.cpu_ratio, each.memory_ratio, limits) for each in mine]
        healthy = statuses.count(Status.HEALTHY)
        assert one.status is (Status.UNHEALTHY if healthy < wanted else Status.HEALTHY)
        assert (one.instances, one.healthy) == (len(mine), healthy)
        assert one.unhealthy == statuses.count(Status.UNHEALTHY)
        assert one.healthy + one.unhealthy + one.unknown == one.instances
        assert one.cpu_ratio == pytest.approx(model_mean([each.cpu_ratio for each in mine]))
        assert one.memory_ratio == pytest.approx(model_mean([each.memory_ratio for each in mine]))
        assert service_stats(rows, one.service, wanted) == one
    assert sum(one.instances for one in found) + len(strays(rows)) == len(rows)


def test_a_service_nobody_has_is_unhealthy_and_has_no_average() -> None:
    found = service_stats([], "A", 1)
    assert (found.status, found.instances, found.cpu_ratio, found.memory_ratio) == (Status.UNHEALTHY, 0, None, None)


REASONS = {
    "at the threshold": ({"cpu": (0.75, 0.75)}, Status.UNHEALTHY, "cpu 75% >= 75%"),
    "just below": ({"cpu": (0.7499, 0.75)}, Status.HEALTHY, ""),
    "both": ({"cpu": (0.8, 0.75), "memory": (1.0, 0.5)}, Status.UNHEALTHY, "cpu 80% >= 75%, memory 100% >= 50%"),
    "over wins over missing": ({"cpu": (None, 0.75), "memory": (0.9, 0.5)}, Status.UNHEALTHY, "memory 90% >= 50%"),
    "one missing": ({"cpu": (None, 0.75), "memory": (0.1, 0.5)}, Status.UNKNOWN, "no value of cpu"),
    "all missing": ({"cpu": (None, 0.75), "memory": (None, 0.5)}, Status.UNKNOWN, "no value of cpu and memory"),
}


@pytest.mark.parametrize(("values", "status", "reason"), REASONS.values(), ids=REASONS)
def test_status_and_its_reason(values: dict[str, tuple[float | None, float]], status: Status, reason: str) -> None:
    assert judge(values) == (status, reason)


@pytest.mark.parametrize(
    ("statuses", "good"),
    [
        ([], False),
        ([Status.HEALTHY], True),
        ([Status.HEALTHY, Status.UNKNOWN], False),
        ([Status.HEALTHY, Status.UNHEALTHY], False),
    ],
    ids=["nothing", "healthy", "unknown", "unhealthy"],
)
def test_all_is_healthy_only_where_something_is_and_nothing_is_not(statuses: list[Status], good: bool) -> None:
    assert all_healthy(statuses) is good


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, "-"), (0.0, "0%"), (0.61, "61%"), (0.615, "61.5%"), (1.0, "100%"), (0.7496, "74.96%"), (0.75, "75%")],
)
def test_percent(ratio: float | None, text: str) -> None:
    assert percent(ratio) == text
