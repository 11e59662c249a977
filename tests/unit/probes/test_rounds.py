"""What becomes of the packets of a round: only what is known to be lost counts as lost."""

import logging

import pytest

from exporter.probes.attempt import Reason
from exporter.probes.rounds import EDGES, Round, Target, judge
from exporter.probes.wire import Packet
from exporter.settings.probes import PingTarget
from tests.support.fake_echo import host

MS = 1_000_000


def answered(milliseconds: float | None) -> Packet:
    packet = Packet(b"", "192.0.2.1")
    packet.answered = True
    packet.round_trip = None if milliseconds is None else round(milliseconds * MS)
    return packet


def silent(reason: Reason | None = None, *, late: bool = False, unclear: bool = False) -> Packet:
    packet = Packet(b"", "192.0.2.1", reason)
    packet.late, packet.unclear = late, unclear
    return packet


@pytest.mark.parametrize(
    ("packets", "stalled", "wanted"),
    [
        pytest.param([answered(1), answered(3)], False, Round(2, 2, (0.001, 0.003), None), id="all answered"),
        pytest.param([answered(1), silent()], False, Round(2, 1, (0.001,), None), id="one lost"),
        pytest.param([silent(), silent()], False, Round(2, 0, (), Reason.TIMEOUT), id="all lost"),
        pytest.param([silent(late=True)], False, Round(1, 0, (), Reason.TIMEOUT), id="late"),
        pytest.param([answered(None)], False, Round(1, 1, (), None), id="answered, not timed"),
        pytest.param([silent(unclear=True)], False, None, id="nobody knows whether in time"),
        pytest.param(
            [silent(Reason.HOST_UNREACHABLE)], False, Round(1, 0, (), Reason.HOST_UNREACHABLE), id="unreachable"
        ),
        pytest.param([silent(Reason.NO_ROUTE)] * 2, False, Round(0, 0, (), Reason.NO_ROUTE), id="no route"),
        pytest.param([silent(Reason.NO_PERMISSION)], False, Round(0, 0, (), Reason.NO_PERMISSION), id="prohibited"),
        pytest.param([silent(Reason.NO_ROUTE), answered(1)], False, Round(1, 1, (0.001,), None), id="route came"),
        pytest.param(
            [silent(Reason.NO_ROUTE), silent()], False, Round(1, 0, (), Reason.TIMEOUT), id="route, no answer"
        ),
        pytest.param([silent(), silent()], True, None, id="stopped: nobody knows"),
        pytest.param([answered(1), silent()], True, Round(1, 1, (0.001,), None), id="stopped: what is known counts"),
        pytest.param(
            [silent(late=True)], True, Round(1, 0, (), Reason.TIMEOUT), id="stopped: late by the kernel's stamp"
        ),
        pytest.param([], False, None, id="no packets"),
    ],
)
def test_round_is_judged_by_what_is_known(packets: list[Packet], stalled: bool, wanted: Round | None) -> None:
    assert judge(packets, stalled=stalled) == wanted


@pytest.mark.parametrize(
    ("trips", "latency", "jitter"),
    [
        ((), None, None),
        ((0.2,), 0.2, None),
        ((0.1, 0.4), 0.25, 0.3),
        ((0.3, 0.1, 0.2), 0.2, 0.15),
        ((0.1, 0.1, 0.1, 9.0), 0.1, 8.9 / 3),
    ],
    ids=["none", "one", "two", "three", "an outlier"],
)
def test_latency_is_the_median_and_jitter_the_mean_step(
    trips: tuple[float, ...], latency: float | None, jitter: float | None
) -> None:
    result = Round(len(trips), len(trips), trips, None)
    assert result.latency == pytest.approx(latency)
    assert result.jitter == pytest.approx(jitter)


@pytest.mark.parametrize(("sent", "received", "loss"), [(0, 0, None), (4, 4, 0.0), (4, 3, 0.25), (4, 0, 1.0)], ids=str)
def test_loss_is_a_share_of_what_was_sent(sent: int, received: int, loss: float | None) -> None:
    assert Round(sent, received, (), None).loss == loss


def target(address: str = "host.example") -> Target:
    return Target(PingTarget(address, name="h"))


def test_counters_only_grow_and_buckets_hold_each_answer_once() -> None:
    watched = target()
    for trips in ((0.05, 0.2, 0.2001), (7000,), (199.9, 200, 200.1)):
        watched.packets = [answered(trip) for trip in trips]
        watched.close_round(1.0, stalled=False)
    assert (watched.sent, watched.received, watched.timed) == (7, 7, 7)
    assert watched.seconds == pytest.approx(7.6004501)
    in_buckets = {edge: count for edge, count in zip(EDGES, watched.buckets, strict=True) if count}
    assert in_buckets == {0.0001: 1, 0.0002: 1, 0.0005: 1, 0.2: 2, 0.5: 1}


def test_an_edge_is_at_the_threshold_of_the_latency_alert() -> None:
    assert 0.2 in EDGES
    assert list(EDGES) == sorted(set(EDGES))


def test_round_of_which_nothing_is_known_changes_nothing() -> None:
    watched = target()
    watched.packets = [answered(1)]
    watched.close_round(1.0, stalled=False)
    before = (watched.last, watched.last_attempt, watched.sent, watched.version)
    watched.packets = [silent()]
    watched.close_round(2.0, stalled=True)
    assert (watched.last, watched.last_attempt, watched.sent, watched.version) == before


def test_closed_packets_take_no_answer_any_more() -> None:
    watched = target()
    watched.packets = packets = [silent(), silent()]
    watched.close_round(1.0, stalled=False)
    assert all(packet.closed for packet in packets)
    assert watched.packets == []


def test_name_that_does_not_exist_was_not_asked() -> None:
    watched = target()
    watched.settle([host()], 0.0)
    watched.unsettle(Reason.NO_SUCH_NAME, 1.0)
    watched.close_round(1.0, stalled=False)
    assert watched.address is None
    assert watched.last == Round(0, 0, (), Reason.NO_SUCH_NAME)


def test_address_is_kept_for_ten_minutes_while_no_name_server_answers() -> None:
    watched = target()
    watched.settle([host()], 0.0)
    watched.unsettle(Reason.RESOLVER_FAILED, 599.0)
    assert watched.address == host()
    watched.unsettle(Reason.RESOLVER_FAILED, 601.0)
    assert watched.address is None
    assert watched.trouble is Reason.RESOLVER_FAILED


def test_address_stays_while_it_is_among_those_of_the_name() -> None:
    watched = target()
    first, second, third = host("192.0.2.1"), host("192.0.2.2"), host("192.0.2.3")
    watched.settle([first, second], 0.0)
    watched.settle([second, first], 1.0)
    assert watched.address == first
    watched.settle([third, second], 2.0)
    assert watched.address == third


@pytest.mark.parametrize(
    ("address", "again"), [("host.example", True), ("192.0.2.1", False), ("::1", False), ("fe80::1%lo", False)]
)
def test_names_are_looked_up_again_and_addresses_are_not(address: str, again: bool) -> None:
    watched = target(address)
    assert watched.needs_address
    watched.settle([host()], 0.0)
    assert watched.needs_address is again


def test_changes_are_logged_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watched = target()
    no_route = silent(Reason.NO_ROUTE)
    for packet in (answered(1), answered(1), silent(), silent(), no_route, no_route, answered(1), answered(1)):
        watched.packets = [packet]
        watched.close_round(1.0, stalled=False)
    assert [record.message for record in caplog.records] == [
        "ping not answered",
        "ping not possible",
        "ping answered again",
    ]
