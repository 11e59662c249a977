"""The scheduler's counters: seconds and turns of each CPU."""

import pytest

from exporter.collector import NoData
from exporter.collectors.schedstat import SchedStat, parse_cpu
from exporter.kernel import KernelError
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles

HEADING = b"version 15\ntimestamp 4310456789\n"
DOMAIN = b"domain0 3 0 0 0\n"


def cpu(number: int, running: int) -> bytes:
    return b"cpu%d 0 0 0 0 0 0 %d 2000000000 7\n" % (number, running)


def rows(number: int, running: float) -> set[tuple[str, float]]:
    names = ("running_seconds_total", "waiting_seconds_total", "timeslices_total")
    values = (running, 2.0, 7.0)
    return {(f'node_schedstat_{name}{{cpu="{number}"}}', value) for name, value in zip(names, values, strict=True)}


def test_nanoseconds_become_seconds_and_domains_are_left_out() -> None:
    files = TreeFiles({"proc/schedstat": HEADING + cpu(0, 1_500_000_000) + DOMAIN + cpu(1, 1) + DOMAIN})
    assert rows_of(SchedStat(files).collect()) == rows(0, 1.5) | rows(1, 1e-9)


def test_cores_come_and_go() -> None:
    files = TreeFiles({})
    collector = SchedStat(files)
    for cores in ([0, 1], [0], [0, 2], [2, 0]):
        files.contents["proc/schedstat"] = HEADING + b"".join(cpu(core, 10**9 * (core + 1)) + DOMAIN for core in cores)
        assert rows_of(collector.collect()) == set().union(*(rows(core, core + 1) for core in cores))


def test_kernel_without_it_is_no_data() -> None:
    with pytest.raises(NoData):
        SchedStat(TreeFiles({})).collect()


@pytest.mark.parametrize(
    "line",
    [b"cpu0 0 0 0 0 0 0 1 2", b"cpu0 1 2 3 4 5 6 7 8 9 10 11 12", b"cpu 0 0 0 0 0 0 1 2 3", b"cpu0 0 0 0 0 0 0 1 2 -3"],
    ids=["eight", "twelve, as in version 14", "no number", "negative"],
)
def test_line_without_nine_numbers_is_an_error(line: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/schedstat: expected cpuN and nine numbers"):
        parse_cpu(line)


@pytest.mark.parametrize(
    "text",
    [b"", HEADING, cpu(0, 1), HEADING + cpu(0, 1)[:-1], HEADING + cpu(0, 1) * 2],
    ids=["empty", "no CPU", "no heading", "cut", "twice"],
)
def test_text_that_is_not_the_kernels_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/schedstat: expected"):
        SchedStat(TreeFiles({"proc/schedstat": text})).collect()
