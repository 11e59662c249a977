"""Polls of services APIs and the rows that they give."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.fleet.errors import FetchError, Kind
from exporter.fleet.services_api import Broken, Instance, Poll
from exporter.probes.services_api import ServicesApis
from exporter.probes.services_watch import Watched
from exporter.settings.services_api import ServicesApiSettings
from exporter.settings.values import Duration
from tests.support.services_api import Fault, MockApi, instance, services_api
from tests.support.virtual_time import loop, run

A, B, C = "10.58.1.1", "10.58.1.2", "10.58.1.3"
GOOD = Poll((Instance(A, "Users", 0.61, 0.04), Instance(B, "Users", 0.9, 0.04), Instance(C, "Auth", 0.1, 0.75)), ())
NO_LIST = FetchError(Kind.REFUSED, "connection refused")
NO_ROUTE = FetchError(Kind.NO_ROUTE, "network is unreachable")

Step = Poll | Exception | float
Rows = dict[tuple[str, ...], float]


class FakeReader:
    """Gives what it is told, poll by poll; the last step again and again; a number is seconds and then the last."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.begun: list[float] = []

    async def poll(self, seconds: float) -> Poll:
        assert seconds == pytest.approx(27)
        self.begun.append(loop().time() - 1000)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, float):
            await asyncio.sleep(step)
            step = self.steps[0]
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, Poll)
        return step


def rows_of(page: bytes) -> Rows:
    """Return the samples by family and label values, `api` left out: host_api_x becomes x."""
    return {
        (sample.name.removeprefix("host_api_"), *(v for k, v in sample.labels.items() if k != "api")): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def play(reader: FakeReader, seconds: float, share: float = 0.0) -> Rows:
    """Run a poller of a 30 s interval for that long; return its rows."""

    async def main() -> bytes:
        settings = ServicesApiSettings(name="cloud", url="192.0.2.1:80")
        apis = ServicesApis([settings], loop().time, lambda: loop().time() + 1e9, lambda: share)
        apis.apis[0]._reader = reader  # type: ignore[assignment]
        apis.start()
        await asyncio.sleep(seconds)
        page = apis.collect()
        assert page == apis.collect()
        apis.stop()
        return page

    return rows_of(run(main()))


def test_poll_becomes_rows() -> None:
    rows = play(FakeReader(GOOD), 1)
    assert {key: value for key, value in rows.items() if not key[0].startswith("errors")} == {
        ("up",): 1,
        ("check_possible",): 1,
        ("instances",): 3,
        ("service_instances", "Auth", "healthy"): 0,
        ("service_instances", "Auth", "unhealthy"): 1,
        ("service_instances", "Users", "healthy"): 1,
        ("service_instances", "Users", "unhealthy"): 1,
        ("instance_cpu_ratio", A, "Users"): 0.61,
        ("instance_cpu_ratio", B, "Users"): 0.9,
        ("instance_cpu_ratio", C, "Auth"): 0.1,
        ("instance_memory_ratio", A, "Users"): 0.04,
        ("instance_memory_ratio", B, "Users"): 0.04,
        ("instance_memory_ratio", C, "Auth"): 0.75,
        ("poll_duration_seconds",): 0,
        ("last_attempt_timestamp_seconds",): 1e9 + 1000,
    }
    assert {key for key in rows if key[0] == "errors_total"} == {("errors_total", kind.value) for kind in Kind}
    assert not any(value for key, value in rows.items() if key[0] == "errors_total")


def test_nothing_is_shown_before_the_first_poll() -> None:
    assert play(FakeReader(5.0, GOOD), 1) == {}


def test_polls_begin_at_their_share_and_never_two_at_once() -> None:
    reader = FakeReader(GOOD, 40.0, GOOD)
    play(reader, 130, share=0.5)
    assert reader.begun == [7.5, 37.5, 97.5, 127.5]


BROKEN = Poll(
    (Instance(A, "Users", 0.5, 0.5),),
    (Broken(B, Kind.BAD_VALUE, "cpu: expected ..."), Broken(C, Kind.GONE, "Invalid IP")),
    2,
)


def test_broken_instance_is_unknown_in_its_service_and_one_that_is_gone_is_not() -> None:
    rows = play(FakeReader(GOOD, BROKEN), 31)
    assert {key: value for key, value in rows.items() if key[0] == "service_instances"} == {
        ("service_instances", "Users", "healthy"): 1,
        ("service_instances", "Users", "unhealthy"): 0,
        ("service_instances", "Users", "unknown"): 1,
        ("service_instances", "Auth", "healthy"): 0,
        ("service_instances", "Auth", "unhealthy"): 0,
    }
    assert [key for key in rows if key[0] == "instance_cpu_ratio"] == [("instance_cpu_ratio", A, "Users")]
    assert rows["instances",] == 5
    assert rows["up",] == 1
    assert {key[1]: value for key, value in rows.items() if key[0] == "errors_total" and value} == {
        "bad_value": 1,
        "gone": 1,
        "too_many_instances": 2,
    }


def test_service_that_lost_its_last_instance_has_none_until_it_is_back() -> None:
    """Else its alert would end just when nothing of it is left."""
    alone = Poll((Instance(A, "Users", 0.5, 0.5),), ())
    shown = ("service_instances", "Users", "healthy"), ("service_instances", "Auth", "unhealthy")
    counts = []
    for seconds in (1, 31, 61, 91):
        rows = play(FakeReader(GOOD, alone, Poll((), ()), GOOD), seconds)
        counts.append(tuple(rows[key] for key in shown))
    assert counts == [(1, 1), (1, 0), (0, 0), (1, 1)]


def test_names_of_services_are_remembered_up_to_a_limit() -> None:
    polls = [Poll((Instance(A, f"Service{number}", 0.5, 0.5),), ()) for number in range(5)]
    watched = Watched(ServicesApiSettings(name="cloud", url="192.0.2.1:80", max_instances=3))
    for poll in polls:
        watched._succeed(poll)
    assert list(watched.services()) == ["Service0", "Service1", "Service2", "Service4"]


def test_broken_instance_keeps_its_service_for_as_long_as_it_is_listed() -> None:
    empty, silent = Poll((), ()), Poll((), (Broken(A, Kind.TIMEOUT, ""),))
    unknown = ("service_instances", "Users", "unknown")
    assert play(FakeReader(GOOD, silent), 3000)[unknown] == 1
    assert unknown not in play(FakeReader(GOOD, empty, silent), 70)


UPS: dict[str, tuple[Step, float | None]] = {
    "all answer": (GOOD, 1),
    "some answer": (BROKEN, 1),
    "empty list": (Poll((), ()), 1),
    "none answers": (Poll((), (Broken(A, Kind.TIMEOUT, ""),)), 0),
    "no list": (NO_LIST, 0),
    "no route from here": (NO_ROUTE, None),
    "out of sockets at each instance": (Poll((), (Broken(A, Kind.OUT_OF_RESOURCES, ""),)), None),
    "our own fault": (RuntimeError("x"), None),
}


@pytest.mark.parametrize(("step", "up"), UPS.values(), ids=UPS)
def test_up_tells_of_the_api_and_is_absent_where_it_could_not_be_asked(step: Step, up: float | None) -> None:
    rows = play(FakeReader(step), 1)
    assert rows.get(("up",)) == up
    assert rows["check_possible",] == (up is not None)


def test_api_that_can_be_asked_again_says_so() -> None:
    assert [play(FakeReader(NO_ROUTE, NO_LIST), seconds)["check_possible",] for seconds in (29, 31)] == [0, 1]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        pytest.param(89, True, id="three intervals"),
        pytest.param(91, False, id="more than three"),
    ],
)
def test_last_complete_poll_is_shown_for_three_intervals_more(seconds: float, shown: bool) -> None:
    rows = play(FakeReader(GOOD, NO_LIST), seconds)
    assert rows["up",] == 0
    assert (("instances",) in rows) is shown
    assert (("instance_cpu_ratio", A, "Users") in rows) is shown
    assert (("service_instances", "Users", "healthy") in rows) is shown
    assert rows["errors_total", "refused"] == seconds // 30
    assert rows["last_attempt_timestamp_seconds",] == 1e9 + 1000 + seconds // 30 * 30


def test_api_that_is_back_is_shown_again() -> None:
    rows = play(FakeReader(GOOD, *[NO_LIST] * 5, GOOD), 181)
    assert rows["up",] == 1
    assert rows["instances",] == 3


def test_changes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        play(FakeReader(NO_LIST, NO_LIST, NO_ROUTE, BROKEN, BROKEN, GOOD, GOOD, BROKEN), 211)
    assert [record.message for record in caplog.records] == [
        "services API gives no list",
        "services API gives no list",
        "services API: instances without a value",
        "services API ok",
        "services API: instances without a value",
    ]


@pytest.fixture
def mock() -> Iterator[MockApi]:
    with services_api({A: instance(service='a"b\n'), B: instance()}) as server:
        yield server


def poll_once(mock: MockApi, fail: Callable[[MockApi], None] = lambda _: None) -> Rows:
    """Poll a real server once."""

    async def main() -> bytes:
        settings = ServicesApiSettings(name="cloud", url=f"localhost:{mock.port}")
        apis = ServicesApis([settings], share=lambda: 0.0)
        fail(mock)
        apis.start()
        async with asyncio.timeout(20):
            while not apis.apis[0].version:  # noqa: ASYNC110 -- what is polled has no event
                await asyncio.sleep(0.002)
        page = apis.collect()
        apis.stop()
        return page

    return rows_of(asyncio.run(main()))


def test_real_server_is_polled_by_its_name(mock: MockApi) -> None:
    rows = poll_once(mock)
    assert rows["instance_cpu_ratio", B, "UserService"] == 0.61
    assert rows["instance_cpu_ratio", A, 'a"b'] == 0.61


def test_real_fault_costs_one_instance(mock: MockApi) -> None:
    rows = poll_once(mock, lambda server: server.faults.update({f"/{A}": Fault(b'{"cpu":"abc%"}')}))
    assert rows["instances",] == 2
    assert rows["errors_total", "missing_field"] == 1
    assert rows["up",] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "https://api"}, "url: expected http://"),
        ({"url": ""}, "url: expected an address"),
        ({"interval": Duration(1)}, "interval: expected 5s to 1h"),
        ({"interval": Duration(10), "timeout": Duration(6)}, r"timeout: expected at most half the interval \(5s\)"),
        ({"timeout": Duration(0)}, "timeout: expected more than 0s"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ServicesApiSettings(**{"name": "cloud", "url": "api:80", **changes})  # type: ignore[arg-type]
