"""The measurements, each in blocks that take the servers in turn; every figure goes into the record in base units."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench import page
from bench.answer import Answer
from bench.failures import BenchError
from bench.load import Load
from bench.peers import OURS_D, OURS_QUIET, OURS_SAMPLED
from bench.plan import Plan
from bench.processes import Server
from bench.scraper import Scraper, time_scrape
from bench.sets import SIX, Collectors
from bench.summary import Record, quantile

Step = Callable[[str], None]


@dataclass
class Target:
    """A running server and the connection that scrapes it."""

    key: str
    server: Server
    scraper: Scraper
    collectors: Collectors = field(default_factory=lambda: SIX)
    """What its page must hold."""
    text: bytes = b""
    """The page that was judged last."""
    least_bytes: int = field(default=0)
    """An answer on the wire with less is not whole: half of the first one that was judged."""

    def scrape(self) -> float:
        """Return the seconds of one scrape. Raises BenchError naming the server unless the answer is whole."""
        try:
            seconds, answer = time_scrape(self.scraper)
        except BenchError as err:
            raise BenchError(f"{self.server.name}: {err}") from err
        if answer.wire_bytes < self.least_bytes:
            raise BenchError(f"{self.server.name}: {answer.wire_bytes} bytes, expected {self.least_bytes} or more")
        return seconds

    def judge(self) -> Answer:
        """Scrape once, judge the page as a whole and return the answer. Raises BenchError naming the server."""
        try:
            answer = self.scraper.scrape()
            self.text = page.check(answer, collectors=self.collectors)
        except BenchError as err:
            raise BenchError(f"{self.server.name}: {err}") from err
        self.least_bytes = self.least_bytes or answer.wire_bytes // 2
        return answer


def turns(targets: Sequence[Target], blocks: int) -> list[list[Target]]:
    """Return the order of every block: each begins with the next server, so that none always follows the same."""
    return [[targets[(block + i) % len(targets)] for i in range(len(targets))] for block in range(blocks)]


def measure_idle_memory(targets: Sequence[Target], record: Record) -> None:
    """Read the memory before the scrapes, after the one that told that the server is there."""
    for target in targets:
        record.add(target.key, "rss_idle", target.server.memory()["rss"])


def measure_hot(targets: Sequence[Target], plan: Plan, record: Record, step: Step) -> None:
    """Scrape back to back: CPU, p50, p99, and what an answer weighs."""
    for target in targets:
        for _ in range(plan.warm_up_scrapes):
            target.scrape()
    gc.collect()
    gc.freeze()  # a collection of ours within a scrape would count as the server's latency
    for order in turns(targets, plan.hot_blocks):
        for target in order:
            step("hot: back to back")
            _hot_block(target, plan.hot_scrapes, record)


def _hot_block(target: Target, scrapes: int, record: Record) -> None:
    target.scrape()  # wakes the server's pages and ours
    before = target.server.cpu_seconds()
    seconds = [target.scrape() for _ in range(scrapes)]
    record.add(target.key, "hot_cpu", (target.server.cpu_seconds() - before) / scrapes)
    record.add(target.key, "hot_p50", quantile(seconds, 0.5))
    record.add(target.key, "hot_p99", quantile(seconds, 0.99))
    record.add(target.key, "wire", target.judge().wire_bytes)
    record.add(target.key, "page", len(target.text))
    record.add(target.key, "samples", len(page.sample_lines(target.text)))


def measure_memory(targets: Sequence[Target], record: Record) -> None:
    """Read the memory after the scrapes; refuse servers that hide work in other processes."""
    for target in targets:
        target.server.check_alone()
        for key, value in target.server.memory().items():
            record.add(target.key, key, value)


def measure_paced(targets: Sequence[Target], plan: Plan, record: Record, step: Step) -> None:
    """Scrape each server once an interval, one after the other within it: CPU with all background, p50, p99."""
    for order in turns(targets, plan.paced_blocks):
        step("paced: once a second" if plan.paced_interval == 1 else f"paced: every {plan.paced_interval:g} s")
        before = {target.key: target.server.cpu_seconds() for target in order}
        seconds = _paced_block(order, plan)
        for target in order:
            used = target.server.cpu_seconds() - before[target.key]
            record.add(target.key, "paced_cpu", used / plan.paced_scrapes)
            record.add(target.key, "paced_p50", quantile(seconds[target.key], 0.5))
            record.add(target.key, "paced_p99", quantile(seconds[target.key], 0.99))
            target.judge()


def _paced_block(order: Sequence[Target], plan: Plan) -> dict[str, list[float]]:
    """Return the seconds of every scrape. Ends a whole interval after the last round began."""
    seconds: dict[str, list[float]] = {target.key: [] for target in order}
    start = time.monotonic()
    for cycle in range(plan.paced_scrapes):
        for place, target in enumerate(order):
            _sleep_until(start + (cycle + place / len(order)) * plan.paced_interval)
            seconds[target.key].append(target.scrape())
    _sleep_until(start + plan.paced_scrapes * plan.paced_interval)
    return seconds


def _sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))


def measure_idle(targets: Sequence[Target], plan: Plan, record: Record, step: Step) -> None:
    """Leave the servers alone, with a kept-open connection each: CPU per second."""
    for _ in range(plan.idle_blocks):
        step("idle")
        start = time.monotonic()
        before = [target.server.cpu_seconds() for target in targets]
        time.sleep(plan.idle_seconds)
        for target, cpu in zip(targets, before, strict=True):
            record.add(target.key, "idle_cpu", (target.server.cpu_seconds() - cpu) / (time.monotonic() - start))
    with_sampler, without = record.blocks(OURS_SAMPLED, "idle_cpu"), record.blocks(OURS_QUIET, "idle_cpu")
    for cpu, quiet in zip(with_sampler, without, strict=True):
        record.add(OURS_D, "sampler_cpu", cpu - quiet)


def measure_load(targets: Sequence[Target], plan: Plan, record: Record, step: Step) -> list[str]:
    """Let many scrape at once: good answers per second, errors, latency, CPU per answer. Return the kinds of error."""
    kinds: list[str] = []
    for order in turns(targets, plan.load_blocks):
        for target in order:
            step(f"{plan.load_connections} scrapers at once")
            kinds += _load_block(target, plan, record)
    for target in targets:
        record.add(target.key, "load_rss", target.server.memory()["rss"])
    return kinds


def _load_block(target: Target, plan: Plan, record: Record) -> list[str]:
    target.judge()
    before = target.server.cpu_seconds()
    result = Load(target.server.port, plan.load_connections, target.least_bytes).run(plan.load_seconds)
    cpu = target.server.cpu_seconds() - before
    good = max(result.good, 1)
    record.add(target.key, "load_rate", result.good / result.seconds)
    record.add(target.key, "load_errors", result.errors.total())
    record.add(target.key, "load_p50", quantile(result.latencies or [result.seconds], 0.5))
    record.add(target.key, "load_p99", quantile(result.latencies or [result.seconds], 0.99))
    record.add(target.key, "load_cpu", cpu / good)
    record.add(target.key, "load_client_cpu", result.client_cpu / good)
    record.add(target.key, "load_client_share", result.client_cpu / result.seconds)
    target.judge()
    return [f"{target.server.name}: {count} x {kind}" for kind, count in result.errors.items()]
