"""A whole run: servers up together, measured in turn, and stopped again whatever happens."""

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import page, peers
from bench.cold import measure_cold
from bench.failures import BenchError
from bench.machine import Machine, read_busy_seconds, read_machine
from bench.measure import (
    Step,
    Target,
    measure_hot,
    measure_idle,
    measure_idle_memory,
    measure_load,
    measure_memory,
    measure_paced,
)
from bench.peers import Contestant
from bench.plan import Plan
from bench.processes import Server
from bench.summary import Record

# what starting costs goes on a while after the first answer
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Outcome:
    """What a run gave."""

    machine: Machine
    plan: Plan
    record: Record
    notes: list[str]


def steps_of(plan: Plan) -> int:
    """Return the number of steps that a run tells."""
    return (
        plan.hot_blocks * 5 + plan.paced_blocks + plan.idle_blocks + plan.load_blocks * 4 + (plan.cold_starts + 1) * 4
    )


def run(hostwatch: Path, plan: Plan, step: Step) -> Outcome:
    """Measure everything. Raises BenchError when a server cannot be started or answers wrongly."""
    peer = peers.find_peer()
    machine = read_machine(peers.peer_version(peer))
    record = Record()
    with tempfile.TemporaryDirectory(prefix="hostwatch-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        all_of_them = peers.contestants(hostwatch, peer, folder)
        measured = [c for c in all_of_them if c.key != peers.OURS_QUIET]
        pairs = [c for c in measured if c.key != peers.PEER_STRICT]
        measure_cold(pairs, plan, record, folder / "cold.log", step)
        targets = [_start(stack, contestant, folder) for contestant in measured]
        notes = _measure(stack, targets, all_of_them[-1], folder, plan, record, step)
    return Outcome(machine, plan, record, notes)


def _measure(
    stack: contextlib.ExitStack,
    targets: Sequence[Target],
    quiet: Contestant,
    folder: Path,
    plan: Plan,
    record: Record,
    step: Step,
) -> list[str]:
    watch = _Others(targets)
    time.sleep(SETTLE_SECONDS)
    measure_idle_memory(targets, record)
    measure_hot(targets, plan, record, step)
    measure_memory(targets, record)
    measure_paced(targets, plan, record, step)
    notes = [_compare(targets), watch.note()]
    idle = [*targets, _start(stack, quiet, folder)]
    time.sleep(SETTLE_SECONDS)
    measure_idle(idle, plan, record, step)
    loaded = [target for target in targets if target.key != peers.PEER_STRICT]
    notes += [_client_note(record, loaded, measure_load(loaded, plan, record, step))]
    return notes


def _start(stack: contextlib.ExitStack, contestant: Contestant, folder: Path) -> Target:
    server = stack.enter_context(Server(contestant.label, contestant.argv, folder / f"{contestant.key}.log"))
    scraper = server.connect()
    stack.callback(scraper.close)
    target = Target(contestant.key, server, scraper)
    _judge_first(target)
    return target


def _judge_first(target: Target) -> None:
    """Judge the first page; the collectors of a server that just started get a second chance."""
    try:
        target.judge()
    except BenchError:
        time.sleep(SETTLE_SECONDS)
        target.judge()


def _compare(targets: Sequence[Target]) -> str:
    """Tell how far the equal sets are equal: the peer's series that ours has too."""
    texts = {target.key: target.text for target in targets}
    ours, theirs = page.host_series(texts[peers.OURS_T]), page.host_series(texts[peers.PEER_STRICT])
    missing = sorted(theirs - ours)
    note = f"Equal set: hostwatch has {len(theirs & ours)} of the peer's {len(theirs)} series about the machine"
    note += f", and {len(ours - theirs)} more"
    if missing:
        shown = ", ".join(f"`{series.decode(errors='replace')}`" for series in missing[:10])
        note += f"; it lacks {shown}" + (" and others" if len(missing) > 10 else "")
    return note + "."


class _Others:
    """How much of the machine others used, from when this is made to `note`."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._start = self._read()

    def _read(self) -> tuple[float, float, float]:
        mine = time.process_time() + sum(target.server.cpu_seconds() for target in self._targets)
        return time.monotonic(), read_busy_seconds(), mine

    def note(self) -> str:
        now = self._read()
        wall, busy, mine = (b - a for a, b in zip(self._start, now, strict=True))
        share = max(busy - mine, 0) / (wall * (os.cpu_count() or 1))
        return f"While CPU per scrape was measured, other processes and the hypervisor took {share:.0%} of the machine."


def _client_note(record: Record, loaded: Sequence[Target], kinds: Sequence[str]) -> str:
    parts = []
    for target in loaded:
        cost = max(record.blocks(target.key, "load_client_cpu"))
        share = max(record.blocks(target.key, "load_client_share"))
        bound = ", which limits the rate" if share > 0.9 else ""
        parts.append(f"{target.server.name}: {cost * 1e6:.0f} us an answer, {share:.0%} of a core{bound}")
    note = f"The load generator (one process, judges an answer every half second) took, {'; '.join(parts)}."
    return note + (f" Errors: {'; '.join(kinds)}." if kinds else "")
