"""Random lives of processes: counters never fall, no byte or tick counts twice, and the lists sum up to everything."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.processes.procfs import TICK_NANOSECONDS, TICKS_PER_SECOND
from exporter.processes.top import LEAST_CORES
from tests.support.effort import tries
from tests.support.processes import Machine, group

NAMES = ("web", "job", "other", "x")
PIDS = (2, 3, 4, 5, 6)

Step = tuple[str, int, int]
"""What happens, to whom of those that live (or where there is a pid free), and how much of it."""

STEP = st.tuples(
    st.sampled_from(
        ("start", "start", "start", "run", "write", "write", "exec", "reap", "end", "zombie", "shrink", "scan", "scan")
    ),
    st.integers(0, 9),
    st.integers(1, 500),
)
STEPS = st.lists(STEP, min_size=10, max_size=40)


class Lives:
    """Plays steps on a machine and keeps its own books, by looking at everybody at every scan."""

    def __init__(self, *, clocks: bool, waiting: bool = False) -> None:
        # everything is in a group, and everybody is looked at as often as possible
        self.machine = Machine(group("web"), group("job"), group("rest", name=".*"), top=2, clocks=clocks)
        self.ticks: Counter[str] = Counter()
        self.written = 0
        self._before: dict[tuple[int, int], tuple[int, int]] = {}
        self._births = 0
        self._waiting = waiting
        self._first = True

    def play(self, step: Step) -> bool:
        """Do one step where it makes sense; return whether it was a scan."""
        what, whom, number = step
        processes = self.machine.proc.processes
        free = [pid for pid in PIDS if pid not in processes]
        living = [pid for pid in processes if pid != 1]
        if what == "start" and free:
            self._births += 1
            parent = [1, *living][number % (len(living) + 1)]
            self.machine.proc.monotonic += 0.01  # no pid is given out twice within a tick
            self.machine.start(free[whom % len(free)], NAMES[whom % 4], parent=parent, more=self._births)
        elif living and what not in {"start", "scan"}:
            self._happen(living[whom % len(living)], what, number)
        return what == "scan"

    def _happen(self, pid: int, what: str, number: int) -> None:
        process = self.machine[pid]
        if process.state == "Z" and what not in {"reap", "end"}:
            return
        match what:
            case "run":
                process.user += number
                process.system += number // 3
            case "write":
                process.written += number
                process.user += 1  # writing takes time
                self.written += number
            case "exec":
                process.name = NAMES[number % 4]
                process.user += 1
            case "shrink":
                process.resident = number * 4096
            case "zombie":
                process.user += 1
                process.state = "Z"
            case _:
                self._bury(pid, waited=self._waiting or what == "reap")

    def _bury(self, pid: int, *, waited: bool) -> None:
        dying = self.machine[pid]
        children = [other for other in self.machine.proc.processes.values() if other.parent == pid]
        if self._waiting and children:
            return  # who waits for his children ends after them; else process 1 inherits, in an order that nobody sees
        for other in children:
            other.parent = 1
        if dying.parent not in self.machine.proc.processes:
            dying.parent = 1
        (self.machine.reap if waited else self.machine.end)(pid)

    def books(self) -> None:
        """Count what everybody used since the books were written last, for the group of the name that he has."""
        now = {}
        for pid, process in self.machine.proc.processes.items():
            key = (pid, process.more)
            now[key] = used = (process.user, process.system)
            old = self._before.get(key, used if self._first else (0, 0))
            name = process.name if process.name in {"web", "job"} else "rest"
            self.ticks[f"{name} user"] += used[0] - old[0]
            self.ticks[f"{name} system"] += used[1] - old[1]
        self._before, self._first = now, False


@given(STEPS, st.booleans())
@settings(max_examples=tries(300))
def test_cpu_of_every_group_is_what_a_bookkeeper_counts_who_looks_at_everybody(steps: list[Step], clocks: bool) -> None:
    lives = Lives(clocks=clocks)
    for step in [*steps, ("scan", 0, 0)]:
        if lives.play(step):
            seen = lives.machine.scan()
            lives.books()
            for state in seen.scan.groups:
                user, system = lives.ticks[f"{state.name} user"], lives.ticks[f"{state.name} system"]
                assert (state.user_seconds, state.system_seconds) == (
                    user / TICKS_PER_SECOND,
                    system / TICKS_PER_SECOND,
                )
            names = [process.name for process in lives.machine.proc.processes.values()]
            assert seen["web"].sums.processes == names.count("web")
            assert sum(state.sums.processes for state in seen.scan.groups) == len(names)


@given(STEPS)
@settings(max_examples=tries(300))
def test_counters_never_fall(steps: list[Step]) -> None:
    lives = Lives(clocks=True)
    before: dict[str, tuple[float, ...]] = {}
    for step in [*steps, ("scan", 0, 0)]:
        if lives.play(step):
            for state in lives.machine.scan().scan.groups:
                now = (state.user_seconds, state.system_seconds, state.read_bytes, state.written_bytes)
                assert all(new >= old for new, old in zip(now, before.get(state.name, (0,) * 4), strict=True))
                before[state.name] = now


@given(STEPS)
@settings(max_examples=tries(300))
def test_where_parents_wait_every_byte_counts_once(steps: list[Step]) -> None:
    lives = Lives(clocks=True, waiting=True)
    lives.machine.scan()
    for step in [*steps, ("scan", 0, 0)]:
        if lives.play(step):
            seen = lives.machine.scan()
            assert sum(state.written_bytes for state in seen.scan.groups) == lives.written


@given(STEPS, st.booleans())
@settings(max_examples=tries(200))
def test_lists_sum_up_to_everything_that_ran(steps: list[Step], clocks: bool) -> None:
    lives = Lives(clocks=clocks)
    moment = lives.machine.scan().scan.monotonic
    lives.books()
    for step in [*steps, ("scan", 0, 0)]:
        if lives.play(step):
            before, began = lives.ticks.total(), moment
            seen = lives.machine.scan()
            lives.books()
            used = (lives.ticks.total() - before) * TICK_NANOSECONDS / 1e9
            moment = seen.scan.monotonic
            assert sum(seen.cores.values()) * (moment - began) == pytest.approx(used, abs=1e-6)
            rows = [use.cpu_seconds_per_second for use in seen.scan.top_cpu]
            assert rows == sorted(rows, reverse=True)
            assert len(rows) <= 2
            assert all(row >= LEAST_CORES for row in rows)
            assert "other" not in [use.name for use in (*seen.scan.top_cpu, *seen.scan.top_memory)]
    for _ in range(6):  # whoever did not run is read by turns
        seen = lives.machine.scan()
    there = lives.machine.proc.processes.values()
    assert sum(seen.resident.values()) == sum(process.resident for process in there)
    assert sum(state.sums.resident for state in seen.scan.groups) == sum(process.resident for process in there)
