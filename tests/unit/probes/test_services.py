"""The collector `services`: absent while nothing is known, and never a zero for what could not be asked."""

from typing import ClassVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.probes.attempt import Attempt, Certificates, Outcome, Reason
from exporter.probes.check import Schedule
from exporter.probes.engine import State
from exporter.probes.services import Services
from tests.support.kernel import Rows, collect, rows_of


class NamedCheck:
    kind: ClassVar[str] = "http"
    target = "http://192.0.2.1/"
    schedule = Schedule(15, 5, 0, 1)

    def __init__(self, name: str) -> None:
        self.name = name

    async def attempt(self, deadline: float) -> Attempt:
        raise NotImplementedError


def state_after(last: Attempt | None, name: str = "web") -> State:
    state = State(NamedCheck(name))
    state.last = last
    if last is not None:
        state.attempts, state.last_attempt = 3, 1700000000.25
    state.version += 1
    return state


def rows(*states: State) -> Rows:
    return rows_of(collect(Services(states)))


LABELS = '{check="web",kind="http"}'
COUNTED = {
    (f"host_service_attempts_total{LABELS}", 3.0),
    (f"host_service_failures_total{LABELS}", 0.0),
    (f"host_service_retries_total{LABELS}", 0.0),
    (f"host_service_last_attempt_timestamp_seconds{LABELS}", 1700000000.25),
}


def test_check_that_is_up_shows_its_phases_and_facts() -> None:
    phases = {"connect": 0.002, "resolve": 0.001, "tls": 0.5}
    certificates = Certificates(1800000000.0, "chain")
    attempt = Attempt.of(None, "", phases, certificates, {"http_status_code": 200.0})
    assert rows(state_after(attempt)) == COUNTED | {
        (f"host_service_up{LABELS}", 1.0),
        (f"host_service_check_possible{LABELS}", 1.0),
        ('host_service_duration_seconds{check="web",kind="http",phase="resolve"}', 0.001),
        ('host_service_duration_seconds{check="web",kind="http",phase="connect"}', 0.002),
        ('host_service_duration_seconds{check="web",kind="http",phase="tls"}', 0.5),
        (f"host_service_certificate_expiry_timestamp_seconds{LABELS}", 1800000000.0),
        ('host_service_certificate_coverage_info{check="web",kind="http",covers="chain"}', 1.0),
        (f"host_service_http_status_code{LABELS}", 200.0),
    }


def test_failed_check_is_down_with_its_reason() -> None:
    state = state_after(Attempt.of(Reason.REFUSED))
    state.failures = {Reason.REFUSED: 2, Reason.TIMEOUT: 1}
    state.retries = 1
    assert rows(state) == {
        (f"host_service_up{LABELS}", 0.0),
        (f"host_service_check_possible{LABELS}", 1.0),
        ('host_service_failure_info{check="web",kind="http",reason="refused"}', 1.0),
        (f"host_service_attempts_total{LABELS}", 3.0),
        (f"host_service_failures_total{LABELS}", 3.0),
        (f"host_service_retries_total{LABELS}", 1.0),
        (f"host_service_last_attempt_timestamp_seconds{LABELS}", 1700000000.25),
    }


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.outcome is Outcome.NOT_ASKED])
def test_check_that_could_not_ask_is_not_down(reason: Reason) -> None:
    assert rows(state_after(Attempt.of(reason))) == COUNTED | {
        (f"host_service_check_possible{LABELS}", 0.0),
        (f'host_service_failure_info{{check="web",kind="http",reason="{reason}"}}', 1.0),
    }


def test_check_that_was_not_tried_yet_has_counters_only() -> None:
    assert rows(state_after(None)) == {
        (f"host_service_{what}_total{LABELS}", 0.0) for what in ("attempts", "failures", "retries")
    }


def test_facts_of_units_and_processes_have_their_own_families() -> None:
    found = rows(state_after(Attempt.of(None, facts={"unit_restarts_total": 4.0, "processes": 0.0})))
    assert ('host_service_unit_restarts_total{check="web"}', 4.0) in found
    assert ('host_service_processes{check="web"}', 0.0) in found


def test_rows_follow_the_states() -> None:
    state, other = state_after(Attempt.of(None)), state_after(Attempt.of(None), "api")
    services = Services([state, other])
    before = services.collect()
    assert services.collect() == before
    state.last = Attempt.of(Reason.BAD_STATUS)
    state.version += 1
    found = rows_of(services.collect())
    assert (f"host_service_up{LABELS}", 0.0) in found
    assert ('host_service_up{check="api",kind="http"}', 1.0) in found


def test_page_is_read_by_prometheus_own_parser_with_each_family_once() -> None:
    names = ('quo"te', "back\\slash", "line\nend")
    page = Services(
        [state_after(Attempt.of(Reason.TIMEOUT, phases={"connect": 1.0}), name) for name in names]
    ).collect()
    families = list(text_string_to_metric_families(page.decode()))
    up = next(family for family in families if family.name == "host_service_up")
    assert tuple(sample.labels["check"] for sample in up.samples) == names
    declared = {family.name.removesuffix("_total"): family.kind for family in Services.families}
    assert {family.name: family.type for family in families}.items() <= declared.items()
    assert page.count(b"# TYPE ") == len(families)
