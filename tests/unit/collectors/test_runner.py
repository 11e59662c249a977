"""The runner: what fails or hangs costs its own rows only; one run serves all who came before it."""

import asyncio
import gzip
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from exporter.collector import DuplicateFamilyError, NoData
from exporter.collectors.runner import FAMILIES, Runner
from exporter.exposition import Block, Family
from tests.support.kernel import MemoryFiles

PATIENCE = 20
"""Seconds after which a test gives up on what should happen at once."""


class Fake:
    """A collector that counts its calls and shows the number of the last one."""

    def __init__(self, name: str, *, blocking: bool = False, family: str | None = None) -> None:
        self.name = name
        self.families = (Family(family or f"host_{name}", "gauge", "A fake."),)
        self.blocking = blocking
        self.calls = 0
        self.error: Exception | None = None

    def collect(self) -> Block:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return b"%s%s%d\n" % (self.families[0].header(), self.families[0].prefix(()), self.calls)


class Held(Fake):
    """A blocking collector: each call says that it began and returns when the test lets it go."""

    def __init__(self, name: str) -> None:
        super().__init__(name, blocking=True)
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def collect(self) -> Block:
        self.began.release()
        self.go.acquire()
        return super().collect()


class Bench:
    """A runner under test on the running loop; `scrape` is a coroutine that gives the page as text."""

    def __init__(self, *collectors: Any, timeout: float = PATIENCE) -> None:
        self.runner = Runner(collectors, MemoryFiles({}), timeout)
        self.held = [collector for collector in collectors if isinstance(collector, Held)]

    def start(
        self, *names: str, timeout: float = PATIENCE, packed: bool = False, now: bool = False
    ) -> "asyncio.Future[bytes]":
        page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.runner.scrape(page.set_result, names=frozenset(names) or None, gzip=packed, timeout=timeout, now=now)
        return page

    async def scrape(self, *names: str, timeout: float = PATIENCE) -> str:  # noqa: ASYNC109 -- the scraper's own
        return (await asyncio.wait_for(self.start(*names, timeout=timeout), PATIENCE)).decode()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


async def began(held: Held) -> None:
    """Wait until the collector is in its next call."""
    assert await asyncio.to_thread(held.began.acquire, timeout=PATIENCE)


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def success(page: str) -> dict[str, str]:
    return dict(re.findall(r'^node_scrape_collector_success\{collector="(\w+)"\} (\d)$', page, re.MULTILINE))


def durations(page: str) -> dict[str, float]:
    found = re.findall(r'^node_scrape_collector_duration_seconds\{collector="(\w+)"\} (\S+)$', page, re.MULTILINE)
    return {name: float(value) for name, value in found}


def value(page: str, name: str) -> int | None:
    found = re.search(rf"^host_{name} (\d+)$", page, re.MULTILINE)
    return int(found[1]) if found else None


def test_page_is_the_collectors_in_order_and_what_is_known_of_them() -> None:
    async def test() -> None:
        page = await Bench(Fake("a"), Fake("b")).scrape()
        assert success(page) == {"a": "1", "b": "1"}
        assert set(durations(page)) == {"a", "b"}
        heads = re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)
        assert heads == ["host_a", "host_b", *(family.name for family in FAMILIES)]

    run(test)


def test_page_comes_in_a_later_turn_of_the_loop() -> None:
    async def test() -> None:
        page = Bench(Fake("a")).start()
        assert not page.done()
        await asyncio.wait_for(page, PATIENCE)

    run(test)


@pytest.mark.parametrize("blocking", [False, True], ids=["on the loop", "on a thread"])
@pytest.mark.parametrize("error", [RuntimeError("sick"), KeyError("x"), OSError(5, "I/O error"), NoData()], ids=repr)
def test_collector_that_raises_costs_its_own_rows_only(blocking: bool, error: Exception) -> None:
    async def test() -> None:
        sick = Fake("sick", blocking=blocking)
        bench = Bench(Fake("a"), sick, Fake("b"))
        assert value(await bench.scrape(), "sick") == 1
        sick.error = error
        page = await bench.scrape()
        assert success(page) == {"a": "1", "sick": "0", "b": "1"}
        assert (value(page, "a"), value(page, "sick"), value(page, "b")) == (2, None, 2)
        assert "host_sick" not in page
        sick.error = None
        assert value(await bench.scrape(), "sick") == 3

    run(test)


def test_blocking_that_raises_costs_its_own_rows_only() -> None:
    class Sick(Fake):
        blocking = property(lambda self: 1 / 0, lambda self, value: None)  # type: ignore[assignment]

    async def test() -> None:
        assert success(await Bench(Fake("a"), Sick("sick")).scrape()) == {"a": "1", "sick": "0"}

    run(test)


def test_failure_is_told_when_it_is_new_or_other_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        sick = Fake("sick")
        bench = Bench(sick)
        for error in (None, OSError("a"), OSError("a"), OSError("b"), OSError("b"), None, None, NoData(), OSError("b")):
            sick.error = error
            await bench.scrape()

    with caplog.at_level(logging.INFO):
        run(test)
    told = [(record.levelname, record.getMessage(), record.fields.get("error")) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [
        ("ERROR", "collector failed", "OSError: a"),
        ("ERROR", "collector failed", "OSError: b"),
        ("INFO", "collector works again", None),
        ("ERROR", "collector failed", "OSError: b"),
    ]
    assert caplog.records[0].exc_info


class AbsentBeforehand(Fake):
    """A collector that knows without a run that there is nothing of its kind."""

    def _look(self) -> bool:
        raise NoData

    blocking = property(_look, lambda *_: None)  # type: ignore[assignment]


def test_absence_that_shows_before_the_run_is_not_told_either(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        assert success(await Bench(AbsentBeforehand("a"), Fake("b")).scrape()) == {"a": "0", "b": "1"}

    with caplog.at_level(logging.INFO):
        run(test)
    assert not caplog.records


def test_normal_absence_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        absent = Fake("absent")
        absent.error = NoData()
        assert success(await Bench(absent).scrape()) == {"absent": "0"}

    with caplog.at_level(logging.INFO):
        run(test)
    assert not caplog.records


@pytest.mark.parametrize("names", [("a",), ("b", "c"), ("c", "a"), ("a", "b", "c")], ids=",".join)
def test_names_narrow_page_and_work(names: tuple[str, ...]) -> None:
    async def test() -> None:
        fakes = [Fake("a"), Fake("b", blocking=True), Fake("c")]
        bench = Bench(*fakes)
        assert bench.runner.names == ("a", "b", "c")
        page = await bench.scrape(*names)
        assert list(success(page)) == sorted(names)
        assert [fake.calls for fake in fakes] == [int(fake.name in names) for fake in fakes]

    run(test)


def test_plans_of_odd_scrapers_stay_bounded() -> None:
    async def test() -> None:
        fakes = [Fake(f"c{n}") for n in range(8)]
        bench = Bench(*fakes)
        for bits in range(1, 200):
            await bench.scrape(*(fake.name for n, fake in enumerate(fakes) if bits >> n & 1))
        assert len(bench.runner._plans) <= Runner.MAX_PLANS

    run(test)


@pytest.mark.parametrize("blocking", [False, True], ids=["on the loop", "on a thread"])
def test_scrapes_of_one_turn_share_one_run_and_one_text(blocking: bool) -> None:
    async def test() -> None:
        fake = Fake("a", blocking=blocking)
        bench = Bench(fake)
        pages = await asyncio.wait_for(asyncio.gather(*(bench.start() for _ in range(64))), PATIENCE)
        assert fake.calls == 1
        assert len({id(page) for page in pages}) == 1
        packed = await asyncio.wait_for(asyncio.gather(*(bench.start(packed=n % 2 == 0) for n in range(64))), PATIENCE)
        assert fake.calls == 2
        assert len({id(page) for page in packed}) == 2
        assert gzip.decompress(packed[0]) == packed[1]

    run(test)


def test_scrapes_of_one_turn_with_other_names_share_the_run_of_what_both_want() -> None:
    async def test() -> None:
        fakes = [Fake("a"), Fake("b"), Fake("c")]
        bench = Bench(*fakes)
        pages = await asyncio.wait_for(
            asyncio.gather(bench.start("a", "b"), bench.start("b", "c"), bench.start()), PATIENCE
        )
        assert [fake.calls for fake in fakes] == [1, 1, 1]
        assert [list(success(page.decode())) for page in pages] == [["a", "b"], ["b", "c"], ["a", "b", "c"]]

    run(test)


def test_scrape_of_a_later_turn_gets_a_run_of_its_own() -> None:
    async def test() -> None:
        bench = Bench(Fake("a"))
        assert [value(await bench.scrape(), "a") for _ in range(3)] == [1, 2, 3]

    run(test)


def test_nobody_gets_values_read_before_his_request() -> None:
    async def test() -> None:
        held = Held("held")
        bench = Bench(held)
        first = bench.start()
        await began(held)
        late = [bench.start() for _ in range(5)]
        held.go.release()
        assert value((await asyncio.wait_for(first, PATIENCE)).decode(), "held") == 1
        await began(held)
        assert not any(page.done() for page in late)
        held.go.release()
        pages = await asyncio.wait_for(asyncio.gather(*late), PATIENCE)
        assert {value(page.decode(), "held") for page in pages} == {2}
        assert held.calls == 2

    run(test)


def test_one_flight_at_a_time_however_many_turns_ask() -> None:
    async def test() -> None:
        held = Held("held")
        bench = Bench(held)
        pages = [bench.start()]
        await began(held)
        for _ in range(10):
            pages.append(bench.start())
            await asyncio.sleep(0)
        assert not held.began.acquire(blocking=False)
        held.go.release(2)
        numbers = [value((await asyncio.wait_for(page, PATIENCE)).decode(), "held") for page in pages]
        assert numbers == [1] + [2] * 10

    run(test)


def test_flight_does_not_hold_up_a_scrape_that_does_not_want_it() -> None:
    async def test() -> None:
        held = Held("held")
        bench = Bench(held, Fake("a"))
        page = bench.start()
        await began(held)
        assert success(await bench.scrape("a")) == {"a": "1"}
        held.go.release()
        assert success((await asyncio.wait_for(page, PATIENCE)).decode()) == {"held": "1", "a": "1"}

    run(test)


def threads() -> int:
    return threading.active_count()


@pytest.mark.parametrize("scrapers", [1, 64])
def test_collector_that_never_returns_costs_its_own_rows_only(scrapers: int, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        held, before = Held("held"), threads()
        bench = Bench(Fake("a"), held, Fake("b", blocking=True), timeout=0.2)
        for turn in range(4):
            start = time.monotonic()
            pages = await asyncio.wait_for(asyncio.gather(*(bench.start() for _ in range(scrapers))), PATIENCE)
            for page in pages:
                assert success(page.decode()) == {"a": "1", "held": "0", "b": "1"}
                assert "host_held" not in page.decode()
            if turn == 0:
                assert time.monotonic() - start >= 0.15
                assert all(0.15 < durations(page.decode())["held"] < PATIENCE for page in pages)
            else:  # left alone: nobody waits for it any more
                assert durations(pages[0].decode())["held"] == 0
            assert threads() <= before + 2
        assert held.began.acquire(blocking=False)
        assert not held.began.acquire(blocking=False)
        held.go.release()
        await until(lambda: bench.runner._threads["held"].started is None)
        held.go.release()
        page = await bench.scrape()
        assert success(page)["held"] == "1"
        assert value(page, "held") == 2, "the late answer must be discarded"

    with caplog.at_level(logging.INFO):
        run(test)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["collector takes too long", "collector is back"]


def test_scrape_whose_own_time_is_over_gets_the_rest_and_the_flight_goes_on() -> None:
    async def test() -> None:
        held = Held("held")
        bench = Bench(Fake("a"), held)
        patient = bench.start()
        hasty = [bench.start(timeout=0.05) for _ in range(3)]
        for page in await asyncio.wait_for(asyncio.gather(*hasty), PATIENCE):
            assert success(page.decode()) == {"a": "1", "held": "0"}
            assert 0 < durations(page.decode())["held"] < PATIENCE
        assert not patient.done()
        held.go.release()
        assert success((await asyncio.wait_for(patient, PATIENCE)).decode()) == {"a": "1", "held": "1"}

    run(test)


def test_scrape_that_gave_up_waiting_for_the_next_flight_does_not_start_one() -> None:
    async def test() -> None:
        held = Held("held")
        bench = Bench(held)
        first = bench.start()
        await began(held)
        assert success(await bench.scrape(timeout=0.02)) == {"held": "0"}
        held.go.release()
        await asyncio.wait_for(first, PATIENCE)
        await asyncio.sleep(0)
        assert not held.began.acquire(blocking=False)
        assert held.calls == 1

    run(test)


@pytest.mark.parametrize("timeout", [0, -1])
def test_scrape_without_any_time_gets_what_does_not_block(timeout: float) -> None:
    async def test() -> None:
        held = Held("held")
        page = await Bench(Fake("a"), held).scrape(timeout=timeout)
        assert success(page) == {"a": "1", "held": "0"}
        held.go.release()

    run(test)


def test_scrapes_that_wait_for_the_next_flight_fail_with_the_one_that_overran() -> None:
    async def test() -> None:
        held = Held("held")
        bench = Bench(Fake("a"), held, timeout=0.2)
        first = bench.start()
        await began(held)
        second = bench.start()
        for page in await asyncio.wait_for(asyncio.gather(first, second), PATIENCE):
            assert success(page.decode()) == {"a": "1", "held": "0"}
        held.go.release()
        await until(lambda: not bench.runner._threads["held"].overran)
        assert held.calls == 1

    run(test)


def test_hung_collector_does_not_hold_up_another_that_blocks() -> None:
    async def test() -> None:
        held, other = Held("held"), Fake("other", blocking=True)
        bench = Bench(held, other, timeout=0.05)
        for number in (1, 2, 3):
            assert value(await bench.scrape(), "other") == number
        held.go.release()

    run(test)


def test_collector_that_blocks_no_more_runs_on_the_loop_for_those_who_wait() -> None:
    async def test() -> None:
        held = Held("held")
        bench = Bench(held)
        first = bench.start()
        await began(held)
        second = bench.start()
        await until(lambda: bool(bench.runner._threads["held"].next))
        held.blocking = False
        held.go.release(2)
        pages = [await asyncio.wait_for(page, PATIENCE) for page in (first, second)]
        assert [value(page.decode(), "held") for page in pages] == [1, 2]

    run(test)


def test_answer_after_the_end_of_the_loop_ends_its_thread_quietly() -> None:
    held, threads_of_held = (
        Held("held"),
        lambda: [t for t in threading.enumerate() if t.name == "held" and t.is_alive()],
    )

    async def test() -> None:
        await Bench(held, timeout=0.01).scrape()

    run(test)
    (thread,) = threads_of_held()[-1:]
    held.go.release()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert thread.daemon


@pytest.mark.parametrize("now", [False, True], ids=["later turn", "now"])
def test_thread_that_cannot_be_started_costs_its_own_rows_only(now: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """RLIMIT_NPROC, or a control group with pids.max, is full."""

    async def test() -> None:
        bench = Bench(Fake("a"), Fake("held up", blocking=True))
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            page = await asyncio.wait_for(bench.start(now=now), PATIENCE)
            assert 'collector_success{collector="a"} 1\n' in page.decode()
            assert 'collector_success{collector="held up"} 0\n' in page.decode()
        assert 'collector_success{collector="held up"} 1\n' in await bench.scrape()
        bench.runner.close()

    run(test)


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def threads_named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_closed_runner_lets_an_idle_thread_end() -> None:
    async def test() -> None:
        bench = Bench(Fake("idle at the end", blocking=True))
        await bench.scrape()
        (thread,) = threads_named("idle at the end")
        bench.runner.close()
        await asyncio.to_thread(thread.join, PATIENCE)
        assert not thread.is_alive()

    run(test)


def test_closed_runner_still_answers_who_waits_and_then_lets_the_thread_end() -> None:
    async def test() -> None:
        held = Held("in the air")
        bench = Bench(held)
        first = bench.start()
        await began(held)
        second = bench.start()
        await until(lambda: bool(bench.runner._threads["in the air"].next))
        (thread,) = threads_named("in the air")
        bench.runner.close()
        held.go.release(2)
        pages = [await asyncio.wait_for(page, PATIENCE) for page in (first, second)]
        assert [value(page.decode().replace("host_in the air", "host_x"), "x") for page in pages] == [1, 2]
        await asyncio.to_thread(thread.join, PATIENCE)
        assert not thread.is_alive()

    run(test)


def test_closed_runner_lets_a_hung_thread_end_once_it_is_back() -> None:
    async def test() -> None:
        held = Held("hung at the end")
        bench = Bench(held, timeout=0.02)
        await bench.scrape()
        (thread,) = threads_named("hung at the end")
        bench.runner.close()
        assert thread.is_alive()
        held.go.release()
        await until(lambda: not thread.is_alive())

    run(test)


class Moody(Fake):
    """A collector that is asked before each run whether it blocks."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.mood: bool | Exception = False
        self.thread: threading.Thread | None = None

    def _look(self) -> bool:
        if isinstance(self.mood, Exception):
            raise self.mood
        return self.mood

    blocking = property(_look, lambda *_: None)  # type: ignore[assignment]

    def collect(self) -> Block:
        self.thread = threading.current_thread()
        return super().collect()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_scrape_now_has_its_page_at_once_where_nothing_blocks(packed: bool) -> None:
    async def test() -> None:
        bench = Bench(Fake("a"), Moody("b"))
        for count in (1, 2):
            page = bench.start(packed=packed, now=True)
            assert page.done()
            text = (gzip.decompress(page.result()) if packed else page.result()).decode()
            assert success(text) == {"a": "1", "b": "1"}
            assert (value(text, "a"), value(text, "b")) == (count, count)

    run(test)


def test_scrape_now_gives_the_page_that_a_later_turn_gives() -> None:
    async def test() -> None:
        def pages(*, now: bool) -> "asyncio.Future[bytes]":
            sick = Fake("c")
            sick.error = RuntimeError("sick")
            bench = Bench(Fake("a"), Moody("b"), sick, AbsentBeforehand("d"))
            bench.runner._boundary._timer = lambda: 1.0
            return bench.start("a", "c", "d", now=now)

        at_once, later = pages(now=True), pages(now=False)
        assert at_once.done()
        assert at_once.result() == await asyncio.wait_for(later, PATIENCE)

    run(test)


def test_scrape_now_leaves_to_a_thread_what_blocks_this_time() -> None:
    async def test() -> None:
        moody, other = Moody("moody"), Fake("other")
        bench = Bench(moody, other)
        assert bench.start(now=True).done()
        assert moody.thread is threading.current_thread()
        moody.mood = True
        page = bench.start(now=True)
        assert not page.done()
        assert other.calls == 2, "what does not block ran at once"
        assert value((await asyncio.wait_for(page, PATIENCE)).decode(), "moody") == 2
        assert moody.thread is not threading.current_thread()
        moody.mood = False
        assert bench.start(now=True).done()
        assert moody.thread is threading.current_thread()

    run(test)


@pytest.mark.parametrize("error", [RuntimeError("sick"), NoData()], ids=repr)
def test_scrape_now_of_a_collector_that_cannot_say_whether_it_blocks_costs_its_own_rows_only(error: Exception) -> None:
    async def test() -> None:
        sick = Moody("sick")
        sick.mood = error
        page = Bench(Fake("a"), sick).start(now=True)
        assert page.done()
        assert success(page.result().decode()) == {"a": "1", "sick": "0"}

    run(test)


def test_scrape_now_shares_its_run_with_those_that_came_before_it_in_this_turn() -> None:
    async def test() -> None:
        fake = Fake("a")
        bench = Bench(fake)
        first, now = bench.start(), bench.start(now=True)
        assert first.done()
        assert first.result() is now.result()
        await asyncio.sleep(0)
        assert fake.calls == 1, "the turn that was planned finds nobody waiting"

    run(test)


def test_scrape_now_waits_for_the_next_flight_and_gets_nothing_older_than_itself() -> None:
    async def test() -> None:
        held = Held("held")
        bench = Bench(held)
        first = bench.start()
        await began(held)
        second = bench.start(now=True)
        assert not second.done()
        held.go.release()
        assert value((await asyncio.wait_for(first, PATIENCE)).decode(), "held") == 1
        await began(held)
        held.go.release()
        assert value((await asyncio.wait_for(second, PATIENCE)).decode(), "held") == 2

    run(test)


def test_shared_files_are_read_anew_for_each_run() -> None:
    async def test() -> None:
        bench = Bench(Fake("a"))
        before = bench.runner._files.epoch
        await asyncio.gather(*(bench.scrape() for _ in range(5)))
        await bench.scrape()
        assert bench.runner._files.epoch == before + 2

    run(test)


def test_durations_are_told_by_the_timer_that_is_handed_in() -> None:
    ticks = iter(range(0, 100, 3))

    async def test() -> None:
        runner = Runner([Fake("a"), Fake("b")], MemoryFiles({}), PATIENCE, timer=lambda: next(ticks))
        page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        runner.scrape(page.set_result, names=None, gzip=False, timeout=PATIENCE)
        assert durations((await asyncio.wait_for(page, PATIENCE)).decode()) == {"a": 3, "b": 3}

    run(test)


@pytest.mark.parametrize(
    ("collectors", "message"),
    [
        ([Fake("a", family="host_x"), Fake("b", family="host_x")], "host_x is declared by the collectors a and b"),
        ([Fake("a", family=FAMILIES[0].name)], f"{FAMILIES[0].name} is declared by the collectors runner and a"),
    ],
    ids=["two collectors", "the runner's own"],
)
def test_name_declared_twice_is_an_error_at_start(collectors: list[Fake], message: str) -> None:
    with pytest.raises(DuplicateFamilyError, match=f"^{message}$"):
        Runner(collectors, MemoryFiles({}), 5)
