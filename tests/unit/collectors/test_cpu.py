"""CPU time: cores that come and go, counters that never fall."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collectors.cpu import MODES, RESET_SECONDS, Cpu, cpu_lines, parse_cpu_line
from exporter.kernel import KernelError
from tests.support.effort import tries
from tests.support.kernel import MemoryFiles, collect, rows_of

TAIL = b"intr 1 1\nctxt 1\nbtime 1\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n"
IDLE, IOWAIT = MODES.index("idle"), MODES.index("iowait")


def stat(cores: dict[int, list[int]]) -> bytes:
    lines = [b"cpu  " + b" ".join(b"%d" % sum(column) for column in zip(*cores.values(), strict=True))]
    lines += [b"cpu%d %s" % (core, b" ".join(b"%d" % tick for tick in ticks)) for core, ticks in cores.items()]
    return b"\n".join(lines) + b"\n" + TAIL


class Machine:
    """A collector whose cores a test sets before each scrape."""

    def __init__(self, ticks_per_second: int = 100) -> None:
        self.files = MemoryFiles({})
        self.collector = Cpu(self.files, ticks_per_second)

    def scrape(self, cores: dict[int, list[int]]) -> dict[str, float]:
        self.files.contents["proc/stat"] = stat(cores)
        return dict(rows_of(collect(self.collector)))


def seconds(core: int, mode: str) -> str:
    return f'node_cpu_seconds_total{{cpu="{core}",mode="{mode}"}}'


def guest(core: int, mode: str) -> str:
    return f'node_cpu_guest_seconds_total{{cpu="{core}",mode="{mode}"}}'


def test_columns_become_modes_in_seconds() -> None:
    rows = Machine().scrape({0: [100, 250, 3, 4, 5, 6, 7, 8, 9, 1]})
    assert rows == {
        **{
            seconds(0, mode): value
            for mode, value in zip(MODES, (1, 2.5, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08), strict=True)
        },
        guest(0, "user"): 0.09,
        guest(0, "nice"): 0.01,
    }


@pytest.mark.parametrize(("hz", "value"), [(100, 1.5), (1000, 0.15), (1024, 150 / 1024)])
def test_seconds_follow_the_tick_of_the_kernel(hz: int, value: float) -> None:
    assert Machine(hz).scrape({0: [150] * 10})[seconds(0, "user")] == value


def test_sum_of_all_cores_is_not_a_row() -> None:
    assert not [row for row in Machine().scrape({0: [1] * 10, 1: [1] * 10}) if 'cpu=""' in row]


def test_cores_keep_their_numbers_when_some_are_off_line() -> None:
    rows = Machine().scrape({0: [1] * 10, 2: [2] * 10, 63: [3] * 10})
    assert [rows[seconds(core, "user")] for core in (0, 2, 63)] == [0.01, 0.02, 0.03]
    assert len(rows) == 30


def test_columns_of_a_newer_kernel_are_left_out() -> None:
    assert parse_cpu_line(b"cpu0 1 2 3 4 5 6 7 8 9 10 11 12") == list(range(1, 11))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"cpu0",
        b"cpu0 1 2 3 4 5 6 7 8 9",
        b"cpu0 1 2 3 4 5 6 7 8 9 x",
        b"cpu0 1 2 3 4 5 6 7 8 9 -1",
        b"cpu 1 2 3 4 5 6 7 8 9 10",
        b"cpux 1 2 3 4 5 6 7 8 9 10",
        b"gpu0 1 2 3 4 5 6 7 8 9 10",
        "cpu0 1 2 3 4 5 6 7 8 9 ٣".encode(),
    ],
    ids=repr,
)
def test_line_that_is_not_a_cores_is_an_error(line: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/stat: expected cpuN and 10 counters"):
        parse_cpu_line(line)


@pytest.mark.parametrize(
    "text",
    [b"", TAIL, b"cpu  1 1\n" + TAIL, stat({0: [1] * 10})[: -len(TAIL)], b"x" + stat({0: [1] * 10})],
    ids=["empty", "no cpu", "no core", "no end", "other start"],
)
def test_file_without_its_cpu_part_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/stat: expected cpu lines and an intr line"):
        cpu_lines(text)


def test_core_that_stands_twice_is_an_error() -> None:
    text = stat({0: [1] * 10}).replace(b"\nintr", b"\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr")
    with pytest.raises(KernelError, match="each once"):
        Cpu(MemoryFiles({"proc/stat": text}), 100).collect()


@pytest.mark.parametrize("column", [IDLE, IOWAIT], ids=["idle", "iowait"])
@pytest.mark.parametrize("fall", [1, RESET_SECONDS * 100])
def test_jitter_of_the_kernel_does_not_let_a_counter_fall(column: int, fall: int) -> None:
    machine = Machine()
    ticks = [1000] * 10
    machine.scrape({0: ticks})
    fallen = [tick - fall * (index == column) for index, tick in enumerate(ticks)]
    assert machine.scrape({0: fallen})[seconds(0, MODES[column])] == 10
    ticks[column] = 1001
    assert machine.scrape({0: ticks})[seconds(0, MODES[column])] == 10.01


def test_core_whose_counters_began_anew_is_shown_as_it_is() -> None:
    machine = Machine()
    machine.scrape({0: [1000] * 10, 1: [1000] * 10})
    rows = machine.scrape({0: [1001] * 10, 1: [2] * 10})
    assert [rows[seconds(core, mode)] for core in (0, 1) for mode in ("user", "idle")] == [10.01, 10.01, 0.02, 0.02]


def test_core_that_was_unplugged_is_gone_and_comes_back_with_its_lower_counters() -> None:
    machine = Machine()
    machine.scrape({0: [1000] * 10, 1: [5000] * 10})
    rows = machine.scrape({0: [1100] * 10})
    assert {row for row in rows if 'cpu="1"' in row} == set()
    rows = machine.scrape({0: [1200] * 10, 1: [3] * 10})
    assert (rows[seconds(0, "user")], rows[seconds(1, "user")], rows[seconds(1, "idle")]) == (12, 0.03, 0.03)


def test_unplugging_one_core_does_not_let_the_others_fall() -> None:
    machine = Machine()
    machine.scrape({0: [1000] * 10, 1: [1000] * 10, 2: [1000] * 10})
    jitter = [999] * 10
    rows = machine.scrape({0: jitter, 2: jitter})
    assert {rows[seconds(core, "idle")] for core in (0, 2)} == {10}


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"garbage",
        stat({0: [7] * 10})[:40],
        stat({0: [7] * 10}).replace(b"cpu0 7", b"cpu0 x"),
        b"cpu  1\nxyz\nintr 1\n",
    ],
    ids=["empty", "garbage", "cut short", "no number", "no core"],
)
def test_failed_scrape_in_the_middle_neither_lets_a_counter_fall_nor_loses_a_core(bad: bytes) -> None:
    machine = Machine()
    machine.scrape({0: [1000] * 10, 1: [2000] * 10})
    machine.files.contents["proc/stat"] = bad
    with pytest.raises(KernelError):
        machine.collector.collect()
    rows = machine.scrape({0: [999] * 10, 1: [2001] * 10})
    assert (rows[seconds(0, "idle")], rows[seconds(1, "idle")], len(rows)) == (10, 20.01, 20)


@settings(max_examples=tries(200), deadline=None)
@given(st.randoms(use_true_random=False))
def test_counters_never_fall_but_where_a_core_began_anew(choose: random.Random) -> None:
    machine, shown = Machine(), {}
    ticks = {core: [choose.randrange(10**6) for _ in range(10)] for core in range(4)}
    for _ in range(15):
        online = [core for core in ticks if core == 0 or choose.random() < 0.8]
        for core in online:
            ticks[core] = [tick + choose.randrange(50) for tick in ticks[core]]
        jittered = {core: list(ticks[core]) for core in online}
        for core in online:
            for column in (IDLE, IOWAIT):
                jittered[core][column] = max(jittered[core][column] - choose.randrange(100), 0)
        if choose.random() < 0.2:
            machine.files.contents["proc/stat"] = stat(jittered)[: choose.randrange(50)]
            with pytest.raises(KernelError):
                machine.collector.collect()
            continue
        rows = machine.scrape(jittered)
        gone = {row for row in shown if row not in rows}
        assert all(rows[row] >= value for row, value in shown.items() if row not in gone)
        assert all(rows[seconds(core, "user")] == ticks[core][0] / 100 for core in online)
        shown = rows
