"""Runs the collectors for every scrape that came in, once for all of them, and assembles the pages.

Scrapes that arrive in one turn of the event loop share one run, one text and one compression; each of them came before
the run, so nobody gets values older than his request. Collectors that block run on a thread of their own, one flight
at a time; a scrape that comes while a flight is under way waits for the next one.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from exporter.collector import Collector, NoData, refuse_duplicates
from exporter.collectors.boundary import Boundary, Result
from exporter.collectors.cardinality import DEFAULT_PER_FAMILY, Budget
from exporter.collectors.compression import compress
from exporter.exposition import Family, Layout
from exporter.kernel import KernelFiles
from exporter.logs import Log

log = Log(__name__)

DURATION: Final = Family(
    "node_scrape_collector_duration_seconds", "gauge", "Seconds this collector took, waiting included.", ("collector",)
)
SUCCESS: Final = Family(
    "node_scrape_collector_success", "gauge", "1 where this collector has its rows on this page.", ("collector",)
)
FAMILIES: Final = (DURATION, SUCCESS)

# a timer of the loop may fire by the clock's resolution early
CLOCK_SLACK: Final = 0.02

Deliver = Callable[[bytes], None]


class _Plan:
    """The collectors of one page, and the layout of the rows about them."""

    def __init__(self, collectors: Sequence[Collector]) -> None:
        self.collectors = tuple(collectors)
        self.names = tuple(c.name for c in collectors)
        self.may_block = tuple(c for c in collectors if not never_blocks(c))
        # those that may need a thread come last: beside a running one each system call here waits for the GIL
        self.in_order = sorted(collectors, key=lambda c: c in self.may_block)
        self._layout = Layout.grid(FAMILIES, [(name,) for name in self.names])

    def page(self, results: Sequence[Result]) -> bytes:
        """Return the page made of the collectors' results, in their order."""
        blocks, durations, successes = [], [], []
        for block, seconds in results:
            durations.append(b"%.4g" % seconds)
            successes.append(b"0" if block is None else b"1")
            if block is not None:
                blocks.append(block)
        blocks.append(self._layout.fill(durations + successes))
        return b"".join(blocks)

    def page_of(self, results: dict[str, Result]) -> bytes:
        """Return the page from results by name."""
        return self.page([results[name] for name in self.names])


def never_blocks(collector: Collector) -> bool:
    """Whether its class says so once and for all; otherwise it is asked before each run."""
    return vars(type(collector)).get("blocking") is False


class _Waiter:
    """One scrape that waits for its page."""

    __slots__ = ("deadline", "deliver", "gzip", "missing", "plan", "timer")

    def __init__(self, plan: _Plan, deliver: Deliver, deadline: float, *, gzip: bool) -> None:
        self.plan = plan
        self.deliver = deliver
        self.deadline = deadline
        self.gzip = gzip
        self.missing: set[str] = set()
        self.timer: asyncio.TimerHandle | None = None


class _Batch:
    """The scrapes of one turn of the loop, their results and the pages made from them."""

    __slots__ = ("_pages", "results", "started", "waiters")

    def __init__(self, started: float) -> None:
        self.started = started
        self.waiters: list[_Waiter] = []
        self.results: dict[str, Result] = {}
        self._pages: dict[tuple[_Plan, bool], bytes] = {}

    def add(self, name: str, result: Result) -> None:
        self.results[name] = result
        self._pages.clear()

    def page(self, waiter: _Waiter, now: float) -> bytes:
        late = waiter.missing
        if late:  # out of time: these rows are not on the page, and it is not shared
            out = Result(None, now - self.started)
            text = waiter.plan.page_of(self.results | dict.fromkeys(late, out))
            return compress(text) if waiter.gzip else text
        key = (waiter.plan, waiter.gzip)
        page = self._pages.get(key)
        if page is None:
            page = waiter.plan.page_of(self.results)
            if waiter.gzip:
                page = compress(page)
            self._pages[key] = page
        return page


class _Thread:
    """The daemon thread of one blocking collector: made on first use, one flight at a time.

    No executor: those are joined at exit, and a dead mount would hold the end up.
    """

    def __init__(
        self, collector: Collector, run: Callable[[Collector], Result], landed: "Callable[[_Thread, Result], None]"
    ) -> None:
        self.collector = collector
        self.started: float | None = None
        self.aboard: list[_Batch] = []
        self.next: list[_Batch] = []
        self.overran = False
        self._collect = run
        self._landed = landed
        self._loop = asyncio.get_running_loop()
        self._flights: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name=collector.name).start()

    def start(self, now: float) -> None:
        self.started = now
        self._flights.put(now)

    def end(self) -> None:
        self._flights.put(None)

    def _run(self) -> None:
        while self._flights.get() is not None:
            result = self._collect(self.collector)
            try:
                self._loop.call_soon_threadsafe(self._landed, self, result)
            except RuntimeError:  # the loop is closed: the process is ending
                return


class Runner:
    """The exporter's collectors and the scrapes that wait for them. Lives on one event loop."""

    MAX_PLANS: Final = 64

    def __init__(
        self,
        collectors: Sequence[Collector],
        files: KernelFiles,
        collector_timeout: float,
        timer: Callable[[], float] = time.perf_counter,
        budget: Budget | None = None,
    ) -> None:
        refuse_duplicates(collectors, FAMILIES)
        budget = Budget(DEFAULT_PER_FAMILY) if budget is None else budget
        budget.dropped.update({collector.name: 0 for collector in collectors})
        self._files = files
        self._timeout = collector_timeout
        self._boundary = Boundary(timer, budget)
        self._all = _Plan(collectors)
        self._never_blocking = {c.name for c in collectors if never_blocks(c)}
        self._plans: dict[frozenset[str], _Plan] = {}
        self._threads: dict[str, _Thread] = {}
        self._waiting: list[_Waiter] = []
        self._closed = False

    @property
    def names(self) -> tuple[str, ...]:
        """The collectors' names, in the order of the page."""
        return self._all.names

    def scrape(
        self, deliver: Deliver, *, names: frozenset[str] | None, gzip: bool, timeout: float, now: bool = False
    ) -> None:
        """Call `deliver` with the page within `timeout` seconds.

        `names` narrows the page to these collectors; each must be one of ours. `now` runs at once instead of in the
        next turn of the loop: cheaper where nobody is there to share the run with.
        """
        plan = self._all if names is None else self._plan(names)
        first = not self._waiting
        if now and first and self._runs_here(plan):
            self._files.begin()
            page = plan.page([self._boundary.run(collector) for collector in plan.collectors])
            deliver(compress(page) if gzip else page)
            return
        self._waiting.append(_Waiter(plan, deliver, time.monotonic() + timeout, gzip=gzip))
        if now:
            self._run_batch()
        elif first:
            asyncio.get_running_loop().call_soon(self._run_batch)

    def _runs_here(self, plan: _Plan) -> bool:
        """Whether no collector of the plan is in the air or would have to go there."""
        for collector in plan.may_block:
            thread = self._threads.get(collector.name)
            if thread is not None and thread.started is not None:
                return False
            try:
                if collector.blocking:
                    return False
            except Exception:  # noqa: BLE001 -- told where it is asked again, as part of the run
                return False
        return True

    def close(self) -> None:
        """Let the threads end, as at a reload: those in the air once they are back and nobody waits any more."""
        self._closed = True
        for thread in tuple(self._threads.values()):
            self._end_if_unused(thread)

    def _end_if_unused(self, thread: _Thread) -> None:
        if self._closed and thread.started is None:
            del self._threads[thread.collector.name]
            thread.end()

    def _plan(self, names: frozenset[str]) -> _Plan:
        plan = self._plans.get(names)
        if plan is None:
            if len(self._plans) >= self.MAX_PLANS:
                self._plans.clear()
            plan = self._plans[names] = _Plan([c for c in self._all.collectors if c.name in names])
        return plan

    def _run_batch(self) -> None:
        waiters, self._waiting = self._waiting, []
        if not waiters:
            return  # one that could not wait took them along
        self._files.begin()
        batch = _Batch(time.monotonic())
        airborne: set[str] = set()
        collectors = {c: None for waiter in waiters for c in waiter.plan.in_order}
        for collector in collectors:
            result = self._collect(collector, batch)
            if result is None:
                airborne.add(collector.name)
            else:
                batch.results[collector.name] = result
        for waiter in waiters:
            if airborne:
                waiter.missing = airborne.intersection(waiter.plan.names)
            if waiter.missing:
                self._wait(batch, waiter)
            else:
                waiter.deliver(batch.page(waiter, 0))

    def _wait(self, batch: _Batch, waiter: _Waiter) -> None:
        batch.waiters.append(waiter)
        loop = asyncio.get_running_loop()
        # what is still in the air at the collectors' own time limit has failed, whatever the scraper would wait
        seconds = min(waiter.deadline - time.monotonic(), self._timeout)
        waiter.timer = loop.call_later(max(seconds, 0), self._give_up, batch, waiter)

    def _give_up(self, batch: _Batch, waiter: _Waiter) -> None:
        batch.waiters.remove(waiter)
        now = time.monotonic()
        for name in waiter.missing:
            thread = self._threads[name]
            if batch in thread.next and not batch.waiters:
                thread.next.remove(batch)
            if thread.started is not None and now - thread.started >= self._timeout - CLOCK_SLACK:
                self._leave_alone(thread, now - thread.started)
        waiter.deliver(batch.page(waiter, now))

    def _leave_alone(self, thread: _Thread, seconds: float) -> None:
        """Note that a collector is over its time: failed for all who wait, not started again until it is back."""
        if not thread.overran:
            thread.overran = True
            log.warning("collector takes too long", collector=thread.collector.name, seconds=round(seconds, 3))
        waiting, thread.next = thread.next, []
        self._hand_out(thread.collector.name, waiting, Result(None, 0.0))

    def _collect(self, collector: Collector, batch: _Batch) -> Result | None:
        """Return the collector's result, or None when it is in the air and will land later."""
        if collector.name in self._never_blocking:
            return self._boundary.run(collector)
        return self._collect_or_start(collector, batch)

    def _collect_or_start(self, collector: Collector, batch: _Batch) -> Result | None:
        thread = self._threads.get(collector.name)
        if thread is not None and thread.started is not None:
            if thread.overran:
                return Result(None, 0.0)  # its thread is not back: not started again
            thread.next.append(batch)
            return None
        try:
            if not collector.blocking:
                return self._boundary.run(collector)
            if thread is None:  # there may be no room for another: RLIMIT_NPROC, pids.max
                thread = self._threads[collector.name] = _Thread(collector, self._boundary.run, self._land)
        except NoData:
            return Result(None, 0.0)
        except Exception as err:  # noqa: BLE001 -- the same boundary as around collect
            self._boundary.note(collector.name, err)
            return Result(None, 0.0)
        thread.aboard = [batch]
        thread.start(time.monotonic())
        return None

    def _land(self, thread: _Thread, result: Result) -> None:
        """Take a flight's result on the loop, hand it to those aboard, and start the next flight if wanted."""
        aboard, thread.aboard = thread.aboard, []
        waiting, thread.next = thread.next, []
        thread.started = None
        if thread.overran:
            thread.overran = False
            log.info("collector is back", collector=thread.collector.name)
        else:
            self._hand_out(thread.collector.name, aboard, result)
        if waiting:
            landed = self._collect(thread.collector, waiting[0])
            if landed is None:
                thread.aboard = waiting
            else:  # what hung is gone, and the collector ran here
                self._hand_out(thread.collector.name, waiting, landed)
        self._end_if_unused(thread)

    def _hand_out(self, name: str, batches: list[_Batch], result: Result) -> None:
        for batch in batches:
            batch.add(name, result)
            for waiter in tuple(batch.waiters):
                waiter.missing.discard(name)
                if not waiter.missing:
                    batch.waiters.remove(waiter)
                    if waiter.timer is not None:
                        waiter.timer.cancel()
                    waiter.deliver(batch.page(waiter, 0))
