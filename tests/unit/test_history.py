"""The ring of samples and the thread that fills it."""

import logging
import threading

import pytest

from exporter.history import WINDOW_SECONDS, CpuTime, History, Reading, Sample, Sampler, busy_ratios
from exporter.portable import read_usage


def sample(at: float, *cores: tuple[float, float]) -> Sample:
    return Sample(at, tuple(CpuTime(*core) for core in cores), 0.5, None, ())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def history(*samples: Sample, interval: float = 5) -> tuple[History, Clock]:
    clock = Clock()
    made = History(interval, clock)
    for one in samples:
        made.add(one)
        clock.now = one.monotonic
    return made, clock


@pytest.mark.parametrize(
    ("before", "after", "ratios"),
    [
        pytest.param([(0, 0)], [(1, 4)], (0.25,), id="one core"),
        pytest.param([(0, 0), (10, 100)], [(4, 4), (10, 110)], (1.0, 0.0), id="busy and idle"),
        pytest.param([(0, 0)], [(1, 4), (1, 4)], (), id="a core came"),
        pytest.param([(0, 0), (0, 0)], [(1, 4)], (), id="a core went"),
        pytest.param([(5, 100)], [(5, 100)], (), id="no tick passed"),
        pytest.param([(50, 100)], [(1, 4)], (), id="counters began anew"),
        pytest.param([(5, 100)], [(4, 110)], (0.0,), id="busy fell a little: never negative"),
        pytest.param([(5, 100)], [(16, 110)], (1.0,), id="idle fell a little: never over one"),
        pytest.param([], [], (), id="no cores"),
    ],
)
def test_busy_share_is_what_passed_between_two_readings(before: list, after: list, ratios: tuple[float, ...]) -> None:
    assert busy_ratios([CpuTime(*core) for core in before], [CpuTime(*core) for core in after]) == ratios


def test_no_sample_is_no_usage() -> None:
    assert history()[0].usage() is None


def test_one_sample_knows_memory_but_no_cpu() -> None:
    usage = history(sample(0, (1, 2)))[0].usage()
    assert usage is not None
    assert (usage.cpu, usage.cores, usage.memory, usage.swap) == (None, (), 0.5, None)


def test_overall_usage_weighs_cores_by_their_time() -> None:
    usage = history(sample(0, (0, 0), (0, 0)), sample(5, (0, 1), (3, 3)))[0].usage()
    assert usage is not None
    assert (usage.cpu, usage.cores) == (0.75, (0.0, 1.0))


def test_window_forgets_what_is_older() -> None:
    samples = [sample(0, (0, 0)), *(sample(at, (100, 100 + at)) for at in (5, 10, 15, 20, 25, 30))]
    usage = history(*samples)[0].usage()
    assert usage is not None
    assert usage.cpu == 0


@pytest.mark.parametrize("slack", [0.0, 2.4], ids=["punctual", "late tick"])
def test_window_takes_the_sample_at_its_edge(slack: float) -> None:
    usage = history(sample(0, (0, 0)), sample(WINDOW_SECONDS + slack, (5, 10)))[0].usage()
    assert usage is not None
    assert usage.cpu == 0.5


@pytest.mark.parametrize(("age", "known"), [(0, True), (16, True), (16.1, False)])
def test_old_sample_counts_as_none(age: float, known: bool) -> None:
    made, clock = history(sample(100, (1, 2)))
    clock.now = 100 + age
    assert (made.usage() is not None) is known


@pytest.mark.parametrize("interval", [1, 5, 15, 60])
def test_ring_is_bounded_and_holds_the_window(interval: float) -> None:
    made, _ = history(*(sample(n * interval, (n, n)) for n in range(1000)), interval=interval)
    assert WINDOW_SECONDS / interval + 1 < len(made._samples) <= WINDOW_SECONDS / interval + 3


class Ring(History):
    """Tells a waiting test of each sample."""

    def __init__(self, wanted: int) -> None:
        super().__init__(5)
        self.missing = wanted
        self.enough = threading.Event()

    def add(self, one: Sample) -> None:
        super().add(one)
        self.missing -= 1
        if self.missing <= 0:
            self.enough.set()


def test_sampler_fills_the_history_from_the_running_system_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampler, "FIRST_SECONDS", 0.001)
    ring = Ring(3)
    sampler = Sampler(ring, 0.001, read_usage)
    sampler.start()
    assert ring.enough.wait(20)
    sampler.stop()
    sampler._thread.join(20)
    assert not sampler._thread.is_alive()
    newest = ring._samples[-1]
    assert newest.cpu
    assert all(0 <= core.busy <= core.total for core in newest.cpu)
    assert newest.memory is not None
    assert 0 < newest.memory < 1


def test_failing_sample_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Sampler, "FIRST_SECONDS", 0.001)
    ring, tries = Ring(1), iter(range(100))

    def read() -> Reading:
        if next(tries) < 3:
            raise OSError("sick")
        return Reading((), None, None, ())

    sampler = Sampler(ring, 0.001, read)
    with caplog.at_level(logging.INFO):
        sampler.start()
        assert ring.enough.wait(20)
        sampler.stop()
        sampler._thread.join(20)
    assert [record.message for record in caplog.records] == ["sample failed"]
