"""A whole run: servers up together, measured in turn, and stopped again whatever happens."""

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import locks, page, peers
from bench.cold import measure_cold
from bench.devices import measure_devices
from bench.everything import measure_everything
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
from bench.peers import Contestant, Sides
from bench.plan import Plan
from bench.process_scan import CASES, measure_process_scans
from bench.servers import start
from bench.summary import Record
from bench.watching import measure_watching

# those whose start and whose bearing under load are wanted
_MAIN: Final = (peers.OURS_T, peers.PEER_T, peers.OURS_D, peers.PEER_D)
# the colder the caches the more servers share them: only those whose pace is wanted
_PACED: Final = (*_MAIN, peers.PEER_STRICT)
_LOCKED: Final = (peers.OURS_T_LOCKED, peers.OURS_D_LOCKED)
_COMPARED: Final = (
    ("T", peers.OURS_T, peers.PEER_STRICT),
    ("T10", peers.OURS_T10, peers.PEER_T10_STRICT),
    ("D", peers.OURS_D, peers.PEER_D),
)


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
        plan.hot_blocks * 10
        + plan.paced_blocks
        + 2 * plan.idle_blocks
        + plan.load_blocks * len(_MAIN)
        + (plan.cold_starts + 1) * len(_MAIN)
        + plan.device_blocks * 8
        + len(CASES)
        + plan.process_blocks
    )


def run(hostwatch: Path, plan: Plan, step: Step) -> Outcome:
    """Measure everything. Raises BenchError when a server cannot be started or answers wrongly."""
    peer = peers.find_peer()
    machine = read_machine(peers.peer_version(peer))
    record = Record()
    with tempfile.TemporaryDirectory(prefix="hostwatch-bench-") as name:
        folder = Path(name)
        sides = Sides(hostwatch, peer, folder)
        measured = peers.contestants(sides, _make_lock(folder, record))
        measure_cold([c for c in measured if c.key in _MAIN], plan, record, folder / "cold.log", step)
        notes = _measure(measured, (sides.quiet(), sides.sampled()), folder, plan, record, step)
        measure_watching(sides, folder, plan, record, step)
        measure_devices(sides, folder, plan, record, step)
        measure_process_scans(folder, plan, record, step)
        measure_everything(sides, folder, plan, record, step)
    return Outcome(machine, plan, record, notes)


def _make_lock(folder: Path, record: Record) -> locks.Lock | None:
    if not (reason := locks.missing()):
        return locks.make_lock(folder)
    for key in _LOCKED:
        record.excuse(key, reason)
    return None


def _measure(
    contestants: Sequence[Contestant],
    calm: Sequence[Contestant],
    folder: Path,
    plan: Plan,
    record: Record,
    step: Step,
) -> list[str]:
    with contextlib.ExitStack() as stack:
        targets = [start(stack, contestant, folder) for contestant in contestants]
        watch = _Others(targets)
        time.sleep(plan.settle_seconds)
        measure_idle_memory(targets, record)
        measure_hot(targets, plan, record, step)
        measure_memory(targets, record)
        measure_paced([target for target in targets if target.key in _PACED], plan, record, step)
        notes = [*_compare(targets), watch.note()]
        idle = [*targets, *(start(stack, contestant, folder) for contestant in calm)]
        time.sleep(plan.settle_seconds)
        measure_idle(idle, plan, record, step)
        loaded = [target for target in targets if target.key in _MAIN]
        return [*notes, _client_note(record, loaded, measure_load(loaded, plan, record, step))]


def _compare(targets: Sequence[Target]) -> list[str]:
    """Tell how far the sets are equal: the peer's series that ours has too."""
    series = {target.key: page.host_series(target.text) for target in targets}
    return [_difference(name, series[ours], series[theirs]) for name, ours, theirs in _COMPARED]


def _difference(name: str, ours: set[bytes], theirs: set[bytes]) -> str:
    missing = sorted(theirs - ours)
    note = f"{name}: hostwatch has {len(theirs & ours)} of the peer's {len(theirs)} series about the machine"
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
