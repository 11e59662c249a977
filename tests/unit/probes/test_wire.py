"""Which answer belongs to which packet, and how long it took, whatever the clocks do."""

import errno
import logging
import os

import pytest

from exporter.probes.attempt import Reason
from exporter.probes.icmp import Mode
from exporter.probes.wire import Packet, Wire
from tests.support.fake_echo import SECOND, FakeEcho, Time, host, wire_to

MS = SECOND // 1000


class Line:
    """A wire with one packet on it, sent at once."""

    def __init__(self, delay: float | None = 0.25, timeout: float = 2.0) -> None:
        self.time = Time()
        self.echo = FakeEcho(self.time)
        self.echo.delays["192.0.2.1"] = delay
        self.wire = wire_to(self.echo, self.time, timeout)
        self.packet = self.wire.send(host())

    def read_after(self, seconds: float) -> Packet:
        self.time.monotonic += round(seconds * SECOND)
        self.wire.read()
        return self.packet

    @property
    def ignored(self) -> dict[str, int]:
        return {why: count for why, count in self.wire.ignored.items() if count}


@pytest.mark.parametrize("read_at", [0.25, 0.3, 1.9, 60.0], ids=str)
def test_round_trip_ends_when_the_kernel_had_the_answer_however_late_it_is_read(read_at: float) -> None:
    line = Line(0.25)
    assert line.read_after(read_at).round_trip == 250 * MS
    assert not line.ignored


def test_without_the_kernels_stamp_the_answer_counts_without_a_time() -> None:
    line = Line(0.25)
    line.echo.has_stamps = False
    packet = line.read_after(0.26)
    assert (packet.answered, packet.round_trip) == (True, None)


@pytest.mark.parametrize("step", [3600.0, 0.5, 0.0001, -0.0001, -0.1, -3600.0], ids=str)
@pytest.mark.parametrize("at", [0.1, 0.25, 0.26], ids=["before the stamp", "at the stamp", "before reading"])
def test_step_of_the_wall_clock_while_under_way_costs_the_time_and_not_the_answer(step: float, at: float) -> None:
    line = Line(0.25)
    (answer,) = line.echo.queue
    assert answer.stamp is not None
    stamp = answer.stamp + (round(step * SECOND) if at < 0.25 else 0)
    line.time.monotonic += round(at * SECOND)
    line.time.offset += round(step * SECOND)
    line.echo.queue = [answer._replace(stamp=min(stamp, line.time.wall))]
    packet = line.read_after(0.3 - at)
    assert (packet.answered, packet.round_trip) == (True, None)
    assert not line.ignored


def test_packets_behind_a_step_are_timed_again() -> None:
    line = Line(0.25)
    line.time.offset += 3600 * SECOND
    line.read_after(0.3)
    line.packet = line.wire.send(host())
    assert line.read_after(0.3).round_trip == 250 * MS


def test_answer_of_which_nobody_can_say_whether_it_was_in_time_is_neither_that_nor_late() -> None:
    line = Line(0.25)
    line.time.offset += 100 * SECOND
    packet = line.read_after(60)
    assert (packet.answered, packet.late, packet.unclear) == (False, False, True)


@pytest.mark.parametrize("stamp", [-SECOND, SECOND], ids=["before sending", "in the future"])
def test_stamp_that_cannot_be_is_not_believed(stamp: int) -> None:
    line = Line(0.0)
    (answer,) = line.echo.queue
    line.echo.answers = lambda: iter([answer._replace(stamp=line.time.wall + stamp)])  # type: ignore[method-assign]
    packet = line.read_after(0.01)
    assert (packet.answered, packet.round_trip) == (True, None)


@pytest.mark.parametrize("delays", [[0, 0, 5 * MS, 0, 0, 0], [5 * MS] * 90], ids=["once", "always"])
def test_process_moved_off_its_core_between_two_clocks_sees_no_step(delays: list[int]) -> None:
    line = Line(0.25)

    def monotonic() -> int:
        line.time.monotonic += delays.pop(0) if delays else 0
        return line.time.monotonic

    line.time.monotonic += 250 * MS
    line.wire._clocks = line.wire._clocks._replace(monotonic=monotonic)
    line.wire.read()
    trip = line.packet.round_trip
    assert trip is None or abs(trip - 250 * MS) <= 20_000


def test_answer_after_the_time_out_is_late_and_counts_for_nothing() -> None:
    line = Line(2.5, timeout=2.0)
    packet = line.read_after(2.5)
    assert (packet.answered, packet.round_trip, packet.late) == (False, None, True)
    assert line.ignored == {"late": 1}


def test_answer_to_a_packet_that_was_given_up_is_late() -> None:
    line = Line(0.25)
    line.packet.closed = True
    packet = line.read_after(0.5)
    assert not packet.answered
    assert line.ignored == {"late": 1}


def test_second_answer_is_a_duplicate() -> None:
    line = Line(0.25)
    line.echo.queue *= 3
    assert line.read_after(0.3).round_trip == 250 * MS
    assert line.ignored == {"duplicate": 2}


@pytest.mark.parametrize(
    "change",
    [{"cookie": bytes(16)}, {"source": "192.0.2.2"}, {"sequence": 1}],
    ids=["other content", "other source", "never sent"],
)
def test_foreign_answer_is_none_of_ours(change: dict[str, object]) -> None:
    line = Line(0.25)
    (answer,) = line.echo.queue
    if "sequence" in change:
        change = {"sequence": (answer.sequence + 1) & 0xFFFF}
    line.echo.queue = [answer._replace(**change)]  # type: ignore[arg-type]
    assert not line.read_after(0.3).answered
    assert line.ignored == {"foreign": 1}


def test_answer_counts_after_a_foreign_one() -> None:
    line = Line(0.25)
    (answer,) = line.echo.queue
    line.echo.queue.insert(0, answer._replace(cookie=os.urandom(16)))
    assert line.read_after(0.3).round_trip == 250 * MS


def test_error_goes_to_its_packet() -> None:
    line = Line(None)
    other = line.wire.send(host("192.0.2.2"))
    line.echo.tell(Reason.HOST_UNREACHABLE, sequence=0)
    assert line.read_after(0.1).reason is Reason.HOST_UNREACHABLE
    assert other.reason is None


def test_error_about_another_destination_is_ignored() -> None:
    line = Line(None)
    line.echo.sent = [(line.echo.sent[0][0], "192.0.2.9")]
    line.echo.tell(Reason.HOST_UNREACHABLE)
    assert line.read_after(0.1).reason is None


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENETUNREACH, Reason.NO_ROUTE),
        (errno.EPERM, Reason.NO_PERMISSION),
        (errno.EACCES, Reason.NO_PERMISSION),
        (errno.EHOSTUNREACH, Reason.HOST_UNREACHABLE),
        (errno.ENOBUFS, Reason.OUT_OF_RESOURCES),
        (errno.EAGAIN, Reason.OUT_OF_RESOURCES),
        (errno.EMSGSIZE, Reason.INTERNAL_ERROR),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else None,
)
def test_packet_that_the_kernel_does_not_take_says_why(number: int, reason: Reason) -> None:
    time = Time()
    echo = FakeEcho(time)
    echo.refusals["192.0.2.1"] = number
    assert wire_to(echo, time).send(host()).reason is reason


def test_sequence_numbers_go_round_and_none_is_used_twice_at_a_time() -> None:
    time = Time()
    echo = FakeEcho(time)
    echo.delays["192.0.2.1"] = None
    wire = wire_to(echo, time)
    for _ in range(70_000):
        wire.send(host()).closed = True
    assert len({sequence for sequence, _ in echo.sent}) == 65536
    assert len(wire._packets) == 65536


def test_packets_are_forgotten_in_time() -> None:
    time = Time()
    echo = FakeEcho(time)
    wire = wire_to(echo, time, timeout=2.0)
    for _ in range(100):
        wire.send(host()).closed = True
        time.monotonic += SECOND
        wire.read()
    assert len(wire._packets) == 12


def test_process_without_privilege_asks_nothing_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    def opener(family: int, payload_bytes: int) -> FakeEcho:
        tried.append(family)
        raise PermissionError(errno.EPERM, "not permitted")

    wire = Wire(56, 2.0, Time().clocks(), opener)  # type: ignore[arg-type]
    assert [wire.send(host()).reason for _ in range(3)] == [Reason.NO_PERMISSION] * 3
    assert wire.mode is Mode.NONE
    assert len(tried) == 3, "the way may open at any time"
    messages = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert messages == ["nothing can be pinged"]


def test_sockets_that_may_be_opened_later_are() -> None:
    time = Time()
    echo = FakeEcho(time)
    steps = [PermissionError(errno.EACCES, "x"), None]

    def opener(family: int, payload_bytes: int) -> FakeEcho:
        step = steps.pop(0)
        if step is not None:
            raise step
        return echo

    wire = Wire(56, 2.0, time.clocks(), opener)  # type: ignore[arg-type]
    assert wire.send(host()).reason is Reason.NO_PERMISSION
    assert wire.send(host()).reason is None
    assert wire.mode is Mode.DATAGRAM
    wire.close()
    assert echo.is_closed


def test_family_that_this_machine_lacks_says_nothing_about_the_target() -> None:
    def opener(family: int, payload_bytes: int) -> FakeEcho:
        raise OSError(errno.EAFNOSUPPORT, "no IPv6")

    wire = Wire(56, 2.0, Time().clocks(), opener)  # type: ignore[arg-type]
    assert wire.send(host()).reason is Reason.ADDRESS_FAMILY_UNSUPPORTED
