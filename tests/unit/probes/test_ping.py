"""Rounds of packets: when they go, when they end, and what the page shows of them."""

import asyncio
import errno
import socket
import time as real_time
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.probes import pinger
from exporter.probes.attempt import Reason
from exporter.probes.icmp import Mode
from exporter.probes.ping import Ping
from exporter.probes.pinger import Pinger, spread
from exporter.probes.resolver import Address, ResolveError
from exporter.probes.rounds import Target
from exporter.probes.wire import Clocks, Wire
from exporter.settings import Duration
from exporter.settings.probes import PingSettings, PingTarget
from tests.support.fake_echo import SECOND, FakeEcho, Time, host, wire_to
from tests.support.kernel import Rows, collect, rows_of
from tests.support.virtual_time import VirtualLoop, loop, run


class LoopTime(Time):
    """The clocks of a virtual loop."""

    def __init__(self, running: VirtualLoop) -> None:
        super().__init__()
        self._loop = running

    @property
    def now(self) -> int:
        return round(self._loop.time() * SECOND)

    @property
    def wall(self) -> int:
        return self.now + self.offset

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.now, lambda: self.wall)


class Bench:
    """A pinger with a fake network, in virtual time."""

    def __init__(
        self, settings: PingSettings, names: dict[str, str | Reason] | None = None, share: float = 0.0
    ) -> None:
        self.time = LoopTime(loop())
        self.echo = FakeEcho(self.time)
        self.names = {} if names is None else names
        self.asked: list[str] = []
        self.pinger = Pinger(
            settings, wire_to(self.echo, self.time, settings.timeout), self.look_up, lambda: 1e9, lambda: share
        )
        self.begin = loop().time()
        self.sent_at: list[tuple[float, str]] = []
        plain = self.echo.send

        def send(packet: bytes, to: tuple[str, int]) -> None:
            self.sent_at.append((loop().time() - self.begin, to[0]))
            plain(packet, to)

        self.echo.send = send  # type: ignore[assignment, method-assign]

    async def look_up(self, name: str, port: int | None, family: int, deadline: float) -> list[Address]:
        self.asked.append(name)
        found = self.names.get(name, name)
        if isinstance(found, Reason):
            raise ResolveError(found)
        if found == "hangs":
            await asyncio.get_running_loop().create_future()
        return [host(found)]

    def rows(self) -> Rows:
        return rows_of(collect(Ping(self.pinger)))

    @property
    def target(self) -> Target:
        return self.pinger.targets[0]


def settings(*targets: str, count: int = 3, interval: float = 15, timeout: float = 2) -> PingSettings:
    return PingSettings(
        targets=targets or ("192.0.2.1",), count=count, interval=Duration(interval), timeout=Duration(timeout)
    )


def play(
    made: PingSettings,
    script: Callable[[Bench], Awaitable[None]],
    names: dict[str, str | Reason] | None = None,
    share: float = 0.0,
) -> None:
    """Start a pinger, and let the script look at it."""

    async def main() -> None:
        bench = Bench(made, names, share)
        bench.pinger.start()
        try:
            await script(bench)
        finally:
            bench.pinger.stop()
            await asyncio.sleep(0)

    run(main())


@pytest.fixture(autouse=True)
def no_suspension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinger, "_suspended", lambda: 0.0)


def test_packets_of_a_round_go_one_interval_apart_and_rounds_likewise() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(40)
        assert [at for at, _ in bench.sent_at] == pytest.approx([0, 1, 2, 15, 16, 17, 30, 31, 32])

    play(settings(), script)


def test_rounds_of_several_machines_do_not_begin_at_one_moment() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(1)
        first = {name: at for at, name in reversed(bench.sent_at)}
        assert first == pytest.approx({"192.0.2.1": 0.9, "192.0.2.2": 0.9})

    play(settings("192.0.2.1", "192.0.2.2"), script, share=0.9)


def test_nothing_is_shown_before_the_first_round_is_over() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(2)
        assert {name.partition("{")[0] for name, _ in bench.rows()} == {
            "host_ping_mode_info",
            "host_ping_ignored_replies_total",
        }

    play(settings(), script)


def test_round_ends_soon_after_its_last_answer() -> None:
    async def script(bench: Bench) -> None:
        bench.echo.delays["192.0.2.1"] = 0.25
        await asyncio.sleep(2.51)
        assert bench.target.last is not None
        assert bench.target.last.latency == pytest.approx(0.25)
        assert bench.target.last.loss == 0.0

    play(settings(), script)


def test_round_waits_for_what_is_not_answered_until_the_time_out() -> None:
    async def script(bench: Bench) -> None:
        bench.echo.delays["192.0.2.1"] = None
        await asyncio.sleep(3.99)
        assert bench.target.last is None
        await asyncio.sleep(0.02)
        assert bench.target.last is not None
        assert (bench.target.sent, bench.target.received) == (3, 0)
        assert bench.target.last.reason is Reason.TIMEOUT

    play(settings(), script)


def test_page_shows_what_was_counted() -> None:
    async def script(bench: Bench) -> None:
        bench.echo.delays["192.0.2.1"] = 0.25
        await asyncio.sleep(10)
        label = '{target="192.0.2.1"}'
        assert bench.rows() >= {
            (f"host_ping_sent_total{label}", 3.0),
            (f"host_ping_received_total{label}", 3.0),
            (f"host_ping_latency_seconds{label}", 0.25),
            (f"host_ping_jitter_seconds{label}", 0.0),
            (f"host_ping_possible{label}", 1.0),
            (f"host_ping_last_attempt_timestamp_seconds{label}", 1e9),
            ('host_ping_rtt_seconds_bucket{target="192.0.2.1",le="0.2"}', 0.0),
            ('host_ping_rtt_seconds_bucket{target="192.0.2.1",le="0.5"}', 3.0),
            ('host_ping_rtt_seconds_bucket{target="192.0.2.1",le="+Inf"}', 3.0),
            (f"host_ping_rtt_seconds_count{label}", 3.0),
            ('host_ping_mode_info{mode="datagram"}', 1.0),
            ('host_ping_ignored_replies_total{reason="late"}', 0.0),
        }

    play(settings(), script)


def test_silent_target_has_counters_but_no_latency() -> None:
    async def script(bench: Bench) -> None:
        bench.echo.delays["192.0.2.1"] = None
        await asyncio.sleep(10)
        rows = dict(bench.rows())
        assert rows['host_ping_sent_total{target="192.0.2.1"}'] == 3
        assert rows['host_ping_received_total{target="192.0.2.1"}'] == 0
        assert rows['host_ping_failure_info{target="192.0.2.1",reason="timeout"}'] == 1
        assert not any(name.startswith(("host_ping_latency", "host_ping_jitter")) for name in rows)

    play(settings(), script)


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EPERM, errno.EAFNOSUPPORT], ids=errno.errorcode.get)
def test_target_that_could_not_be_asked_has_nothing_that_looks_like_loss(number: int) -> None:
    async def script(bench: Bench) -> None:
        bench.echo.refusals["192.0.2.1"] = number
        await asyncio.sleep(10)
        names = {name.partition("{")[0] for name, _ in bench.rows()}
        assert names.isdisjoint({"host_ping_sent_total", "host_ping_received_total", "host_ping_rtt_seconds_count"})
        assert ('host_ping_possible{target="192.0.2.1"}', 0.0) in bench.rows()

    play(settings(), script)


def test_process_without_privilege_shows_mode_none_and_nothing_down() -> None:
    def opener(family: int, payload_bytes: int) -> FakeEcho:
        raise PermissionError(errno.EACCES, "not permitted")

    async def main() -> None:
        made = Pinger(settings(), Wire(56, 2.0, opener=opener))  # type: ignore[arg-type]
        made.start()
        await asyncio.sleep(10)
        rows = {row for row in rows_of(collect(Ping(made))) if "ignored" not in row[0] and "timestamp" not in row[0]}
        assert rows == {
            ('host_ping_mode_info{mode="none"}', 1.0),
            ('host_ping_possible{target="192.0.2.1"}', 0.0),
            ('host_ping_failure_info{target="192.0.2.1",reason="no_permission"}', 1.0),
        }
        made.stop()
        await asyncio.sleep(0)

    run(main())


def test_stopped_process_counts_no_answered_packet_as_lost_and_tells_no_false_latency() -> None:
    async def script(bench: Bench) -> None:
        bench.echo.delays["192.0.2.1"] = 0.25
        await asyncio.sleep(2.1)  # the last packet is out, its answer not yet here
        loop().jump(60)
        await asyncio.sleep(3)
        last = bench.target.last
        assert last is not None
        assert (last.sent, last.received) == (3, 3)
        assert last.round_trips == pytest.approx((0.25, 0.25, 0.25))

    play(settings(), script)


def test_machine_that_slept_takes_no_silence_for_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = [0.0]
    monkeypatch.setattr(pinger, "_suspended", lambda: slept[0])

    async def script(bench: Bench) -> None:
        await asyncio.sleep(1.5)
        bench.echo.delays["192.0.2.1"] = None
        slept[0] = 3600.0
        await asyncio.sleep(5)
        assert bench.target.last is not None
        assert (bench.target.sent, bench.target.received) == (2, 2)

    play(settings(), script)


def test_missed_rounds_are_not_made_up_for() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(10)
        loop().jump(100)
        await asyncio.sleep(30)
        assert [at for at, _ in bench.sent_at] == pytest.approx([0, 1, 2, 110, 111, 112, 120, 121, 122, 135, 136, 137])

    play(settings(), script)


def test_packets_missed_within_a_round_do_not_go_all_at_once() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(0.5)
        loop().jump(10)
        await asyncio.sleep(10)
        gaps = [after - before for (before, _), (after, _) in zip(bench.sent_at, bench.sent_at[1:], strict=False)]
        assert min(gaps) >= 0.7

    play(settings(count=5), script)


def test_name_is_looked_up_before_each_round() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(10)
        bench.names["host.example"] = "192.0.2.2"
        await asyncio.sleep(30)
        assert len(bench.asked) == 4, "once at the start, and then for each round"
        assert {name for at, name in bench.sent_at if at < 15} == {"192.0.2.1"}
        assert {name for at, name in bench.sent_at if at > 15.5} == {"192.0.2.2"}

    play(settings("host.example"), script, {"host.example": "192.0.2.1"})


def test_look_up_that_hangs_delays_no_other_target() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(10)
        by_name = {target.name: target for target in bench.pinger.targets}
        assert by_name["192.0.2.1"].received == 3
        assert by_name["slow.example"].last is None

    play(settings("slow.example", "192.0.2.1"), script, {"slow.example": "hangs"})


def test_name_that_does_not_exist_is_not_shown_as_loss() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(10)
        rows = {row for row in bench.rows() if "gone.example" in row[0] and "timestamp" not in row[0]}
        assert rows == {
            ('host_ping_possible{target="gone.example"}', 0.0),
            ('host_ping_failure_info{target="gone.example",reason="no_such_name"}', 1.0),
        }

    play(settings("gone.example"), script, {"gone.example": Reason.NO_SUCH_NAME})


def test_fault_in_a_round_is_logged_and_the_next_round_comes(caplog: pytest.LogCaptureFixture) -> None:
    async def script(bench: Bench) -> None:
        def broken(packet: bytes, to: tuple[str, int]) -> None:
            raise RuntimeError("our own")

        good, bench.echo.send = bench.echo.send, broken  # type: ignore[method-assign, assignment]
        await asyncio.sleep(20)
        assert bench.target.last is None
        bench.echo.send = good  # type: ignore[method-assign]
        await asyncio.sleep(20)
        assert bench.target.last is not None
        assert [record.message for record in caplog.records].count("ping broke") == 1

    play(settings(), script)


def test_nothing_is_sent_after_the_end() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(1.5)
        bench.pinger.stop()
        await asyncio.sleep(60)
        assert len(bench.echo.sent) == 2
        assert bench.echo.is_closed

    play(settings(), script)


def test_hundred_targets_go_a_few_at_a_time() -> None:
    names = tuple(f"192.0.2.{n}" for n in range(100))

    async def script(bench: Bench) -> None:
        await asyncio.sleep(14)
        moments: dict[float, int] = {}
        for at, _ in bench.sent_at:
            moments[round(at, 3)] = moments.get(round(at, 3), 0) + 1
        assert max(moments.values()) == 25
        assert all(target.received == 3 for target in bench.pinger.targets)

    play(settings(*names), script)


@pytest.mark.parametrize(
    ("count", "seconds", "groups", "most"),
    [(0, 1.0, 1, 0), (1, 1.0, 1, 1), (3, 1.0, 1, 3), (100, 1.0, 4, 25), (1000, 1.0, 40, 25), (10, 0.1, 1, 10)],
    ids=str,
)
def test_targets_are_spread_over_the_time_between_two_packets(
    count: int, seconds: float, groups: int, most: int
) -> None:
    targets = [Target(PingTarget(f"host{n}", name=f"host{n}")) for n in range(count)]
    found = spread(targets, seconds)
    assert [phase for phase, _ in found] == pytest.approx([seconds * n / groups for n in range(groups)])
    assert max(len(group) for _, group in found) == most
    assert sorted(target.name for _, group in found for target in group) == sorted(target.name for target in targets)


def test_page_is_read_by_prometheus_own_parser_and_its_histogram_adds_up() -> None:
    async def script(bench: Bench) -> None:
        bench.echo.delays |= {"192.0.2.1": 0.0001, "192.0.2.2": 0.0321}
        await asyncio.sleep(10)
        page = collect(Ping(bench.pinger))
        families = {family.name: family for family in text_string_to_metric_families(page.decode())}
        declared = {family.name.removesuffix("_total"): family.kind for family in Ping.families}
        assert {name: family.type for name, family in families.items()}.items() <= declared.items()
        samples = families["host_ping_rtt_seconds"].samples
        for name in ("192.0.2.1", 'odd "name"'):
            buckets = [s.value for s in samples if s.labels.get("target") == name and s.name.endswith("_bucket")]
            assert buckets == sorted(buckets)
            assert buckets[-1] == 3

    odd = PingTarget("192.0.2.2", name='odd "name"')
    play(PingSettings(targets=("192.0.2.1", odd), count=3), script)


def test_mode_is_that_of_the_socket() -> None:
    async def script(bench: Bench) -> None:
        bench.echo.mode = Mode.RAW
        assert ('host_ping_mode_info{mode="raw"}', 1.0) in bench.rows()

    play(settings(), script)


@pytest.mark.parametrize("family", ["any", "ipv4", "ipv6"])
def test_only_addresses_of_the_wanted_family_are_looked_up(family: str) -> None:
    wanted = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}[family]
    assert Target(PingTarget("host.example", family=family)).family == wanted  # type: ignore[arg-type]


@pytest.mark.needs("linux")
def test_time_that_the_machine_slept_is_what_one_clock_counts_and_the_other_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    both = real_time.clock_gettime(real_time.CLOCK_BOOTTIME) - real_time.monotonic()
    assert pinger._suspended() == pytest.approx(both, abs=1.0)
