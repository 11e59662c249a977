"""Rows from a services API: what is wrong with an instance is its own row's, and watching one service asks little."""

import socket

import pytest

from exporter.fleet.api_source import MEMORY_SECONDS, ApiSource
from exporter.fleet.model import Row, SourceError, Status, Thresholds
from exporter.fleet.services_api import Limits
from tests.support.clock import Clock
from tests.support.services_api import Fault, instance, services_api

A, B, C, D = "10.58.1.1", "10.58.1.2", "10.58.1.3", "10.58.1.4"
FOUR = {A: instance(), B: instance("75%", "Auth", "8%"), C: instance("0%", "Auth"), D: instance("1%", "Auth")}
AUTH = [B, C, D]


def test_every_instance_is_a_row_in_the_order_of_the_list() -> None:
    with services_api(FOUR, {f"/{C}": Fault(body=b"no")}) as server:
        found = ApiSource(server.url).fetch()
    assert found.rows[:2] == (
        Row(A, "UserService", 0.61, 0.04, Status.HEALTHY),
        Row(B, "Auth", 0.75, 0.08, Status.UNHEALTHY, "cpu 75% >= 75%"),
    )
    broken = found.rows[2]
    assert (broken.name, broken.service, broken.cpu_ratio, broken.status) == (C, None, None, Status.UNKNOWN)
    assert broken.reason.startswith("bad_json: no JSON")
    assert found.rows[3].name == D


def test_thresholds_are_the_callers() -> None:
    with services_api({A: instance("50%", memory="50%")}) as server:
        statuses = [
            ApiSource(server.url, thresholds=Thresholds(cpu, memory)).fetch().rows[0].status
            for cpu, memory in ((0.5, 1.0), (1.0, 0.5), (0.51, 0.51))
        ]
    assert statuses == [Status.UNHEALTHY, Status.UNHEALTHY, Status.HEALTHY]


def test_progress_is_told_to_the_last_answer() -> None:
    told: list[tuple[int, int]] = []
    with services_api(FOUR) as server:
        ApiSource(server.url).fetch(progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_instances_over_the_limit_are_counted() -> None:
    with services_api(FOUR) as server:
        found = ApiSource(server.url, limits=Limits(max_instances=3)).fetch()
    assert (len(found.rows), found.left_out) == (3, 1)


def test_an_api_that_is_not_there_is_an_error_that_names_it() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        base = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SourceError, match=f"services API {base}: refused: Connection refused"):
            ApiSource(base).fetch()


def test_what_is_no_address_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="expected an address such as"):
        ApiSource("ftp://api")


def test_watching_a_service_asks_for_its_own_instances_only() -> None:
    clock = Clock()
    with services_api(FOUR) as server:
        source = ApiSource(server.url, clock=clock)
        assert [row.name for row in source.fetch("Auth").rows] == AUTH
        server.requests.clear()
        assert [row.name for row in source.fetch("Auth").rows] == AUTH
        assert sorted(server.requests) == [*(f"/{ip}" for ip in AUTH), "/servers"]
        clock.now += MEMORY_SECONDS
        server.requests.clear()
        source.fetch("Auth")
        assert sorted(server.requests) == [*(f"/{ip}" for ip in FOUR), "/servers"]


def test_an_instance_that_breaks_while_it_is_watched_stays_in_its_service() -> None:
    with services_api(FOUR) as server:
        source = ApiSource(server.url)
        source.fetch("Auth")
        server.faults[f"/{C}"] = Fault(status=500)
        found = source.fetch("Auth").rows
        assert [(row.name, row.service, row.status) for row in found if row.name == C] == [(C, "Auth", Status.UNKNOWN)]


def test_a_new_instance_is_seen_in_the_next_round() -> None:
    with services_api({A: FOUR[A], B: FOUR[B]}) as server:
        source = ApiSource(server.url)
        source.fetch("Auth")
        server.instances[C] = FOUR[C]
        assert [row.name for row in source.fetch("Auth").rows] == [B, C]
