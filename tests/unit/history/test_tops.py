"""Who used most, for an hour, in memory that does not grow."""

import sys
from types import SimpleNamespace

import pytest

from exporter.collectors.containers import ContainerUse
from exporter.history import ContainerRow, ProcessRow, Recorder, Tops
from exporter.history.tops import MAX_BYTES, MAX_LISTS
from exporter.processes import ProcessUse, Scan
from tests.support.clock import Clock


def use(name: str, cores: float = 0.5, resident: int = 1000, read: float | None = None) -> ProcessUse:
    return ProcessUse(name, 2, cores, resident, read, read)


def box(name: str, seconds: float | None, memory: int | None = 100) -> ContainerUse:
    return ContainerUse(name, "app", "running", seconds, memory)


def test_processes_are_kept_most_cpu_first() -> None:
    tops = Tops(Clock())
    tops.add_processes(0, [use("b", 0.5, 10), use("c", 0.5, 20, 123.4), use("a", 1.23456789, 1)])
    assert tops.processes_at(1000, 1000) == [
        ProcessRow("a", 2, 1.2346, 1, None, None),
        ProcessRow("c", 2, 0.5, 20, 123, 123),
        ProcessRow("b", 2, 0.5, 10, None, None),
    ]


def test_list_is_the_newest_between_two_moments() -> None:
    clock = Clock()
    tops = Tops(clock)
    for number in range(10):
        clock.now = 1000.0 + 10 * number
        tops.add_processes(2, [use(str(number))])

    def name_at(earliest: float, latest: float) -> str | None:
        rows = tops.processes_at(earliest, latest)
        return None if rows is None else rows[0].name

    assert name_at(0, 5000) == "9"
    assert name_at(1000, 1048) == "5"
    assert name_at(1000, 1047) == "4"
    assert name_at(1049, 1050) is None
    assert name_at(0, 997) is None


def test_empty_list_is_not_nothing() -> None:
    tops = Tops(Clock())
    assert tops.containers_at(0, 5000) is None
    tops.add_containers(0, [])
    assert tops.containers_at(0, 5000) == []


def test_cpu_of_a_container_is_what_it_used_since_the_reading_before() -> None:
    clock = Clock()
    tops = Tops(clock)
    tops.add_containers(0, [box("a", 100.0), box("b", 50.0), box("gone", 1.0)])
    assert tops.containers_at(0, 5000) == [ContainerRow(name, "app", None, 100) for name in ("a", "b", "gone")]
    clock.now += 10
    tops.add_containers(0, [box("a", 105.0), box("b", 49.0), box("new", 3.0), box("stopped", None, None)])
    assert tops.containers_at(0, 5000) == [
        ContainerRow("a", "app", 0.5, 100),
        ContainerRow("b", "app", None, 100),  # started anew: its counter fell
        ContainerRow("new", "app", None, 100),
    ]


def test_containers_that_use_most_are_kept() -> None:
    clock = Clock()
    tops = Tops(clock)
    tops.add_containers(0, [box(f"c{n:03}", 0.0, n) for n in range(100)])
    clock.now += 10
    tops.add_containers(0, [box(f"c{n:03}", 5.0 if n < 10 else 0.1, n) for n in range(100)])
    rows = tops.containers_at(0, 5000)
    assert rows is not None
    assert {row.name for row in rows} == {f"c{n:03}" for n in (*range(10), *range(90, 100))}
    assert rows[0].cpu_cores == 0.5


def size_of(tops: Tops) -> int:
    rings = (tops._processes, tops._containers)
    return sum(sys.getsizeof(packed) + sys.getsizeof(moment) for ring in rings for moment, packed in ring._kept)


def test_a_usual_hour_takes_less_than_a_megabyte() -> None:
    clock = Clock()
    tops = Tops(clock)
    for _ in range(1000):
        clock.now += 10
        tops.add_processes(0, [use(f"process-{n:06}", n / 7, 123_456_789 * n, 1e6) for n in range(20)])
        tops.add_containers(0, [box(f"container-{n:04}", clock.now * n, 123_456_789) for n in range(50)])
    assert size_of(tops) < 1_000_000
    assert tops.processes_at(0, clock.now - 3590) is not None
    assert tops.processes_at(0, clock.now - 3610) is None


@pytest.mark.parametrize("interval", [0.25, 10])
def test_memory_is_bounded_whatever_the_names(interval: float) -> None:
    clock = Clock()
    tops = Tops(clock)
    for number in range(5000):
        clock.now += interval
        tops.add_processes(0, [use(f"{number}-{n}" + "x" * 10_000, n / 7) for n in range(20)])
    assert tops._processes.bytes <= MAX_BYTES
    assert len(tops._processes._kept) <= MAX_LISTS
    assert size_of(tops) <= MAX_BYTES + MAX_LISTS * 100
    assert tops.processes_at(0, clock.now) is not None


def test_list_that_is_larger_than_all_room_is_left_out() -> None:
    tops = Tops(Clock())
    tops.add_processes(0, [use(f"{n}" + "x" * 200) for n in range(30_000)])
    assert tops.processes_at(0, 5000) is None
    assert tops._processes.bytes == 0


def scan(monotonic: float, *, cores: float | None = 0.1) -> Scan:
    tops = (use("a", 1.0), use("b", 0.5)) if cores is not None else ()
    return Scan(monotonic, 0.0, 0.0, 0.01, 3, True, tops, cores, tops[:1], 0)


def test_recorder_keeps_each_scan_and_each_reading_once() -> None:
    clock = Clock()
    tops = Tops(clock)
    last: list[Scan | None] = [None]
    containers = SimpleNamespace(last=(), last_at=None)
    record = Recorder(tops, lambda: last[0], containers, clock)
    assert record() == {}
    assert (len(tops._processes._kept), len(tops._containers._kept)) == (0, 0)
    last[0] = scan(999, cores=None)  # the first: it knows no usage yet
    record()
    assert tops.processes_at(0, 5000) is None
    for at in (999.5, 999.5, 1000.0):
        last[0] = scan(at)
        containers.last, containers.last_at = (box("c", at),), at
        record()
    assert [moment for moment, _ in tops._processes._kept] == [999.5, 1000.0]
    assert [moment for moment, _ in tops._containers._kept] == [999.5, 1000.0]
    rows = tops.processes_at(0, 5000)
    assert rows is not None
    assert [row.name for row in rows] == ["a", "b"]
    containers.last, containers.last_at = (), None
    record()
    assert len(tops._containers._kept) == 2


def test_recorder_does_without_containers() -> None:
    tops = Tops(Clock())
    assert Recorder(tops, lambda: None, None)() == {}
