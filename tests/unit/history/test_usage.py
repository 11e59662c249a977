"""The ring of samples, and what is counted from it."""

import pytest

from exporter.history import MAX_SOURCE_COLUMNS, WINDOW_SECONDS, CpuTime, FileSystemUse, History, Sample, busy_ratios
from tests.support.clock import Clock


def sample(at: float, *cores: tuple[float, float]) -> Sample:
    numbers = tuple(str(core) for core in range(len(cores)))
    return Sample(at, tuple(CpuTime(*core) for core in cores), 0.5, None, (), numbers)


def history(*samples: Sample, interval: float = 5) -> tuple[History, Clock]:
    clock = Clock(0.0)
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


def test_cores_of_other_numbers_are_not_compared() -> None:
    one, other = sample(0, (1, 4), (1, 4)), sample(5, (2, 8), (3, 8))
    made, _ = history(one._replace(core_numbers=("0", "2")), other)
    usage = made.usage()
    assert usage is not None
    assert (usage.cpu, usage.cores, usage.core_numbers) == (None, (), ())
    assert ("cpu",) not in made.past.columns()


def test_no_sample_is_no_usage() -> None:
    assert history()[0].usage() is None


def test_one_sample_knows_memory_but_no_cpu() -> None:
    usage = history(sample(0, (1, 2)))[0].usage()
    assert usage is not None
    assert (usage.cpu, usage.cores, usage.memory, usage.swap) == (None, (), 0.5, None)


def test_overall_usage_weighs_cores_by_their_time() -> None:
    usage = history(sample(0, (0, 0), (0, 0)), sample(5, (0, 1), (3, 3)))[0].usage()
    assert usage is not None
    assert (usage.cpu, usage.cores, usage.core_numbers) == (0.75, (0.0, 1.0), ("0", "1"))


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


class Clocks:
    """The clock on the wall and the time since boot."""

    def __init__(self) -> None:
        self.wall = 1_000_000.0
        self.boot = 500.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds

    def history(self, interval: float = 5) -> History:
        return History(interval, lambda: self.boot, lambda: self.wall, lambda: self.boot)


def hour(clocks: Clocks, samples: int, interval: float = 5) -> History:
    """Return a history with samples whose memory is their number, the last one just taken."""
    made = clocks.history(interval)
    for number in range(samples):
        clocks.pass_by(interval)
        made.add(Sample(clocks.boot, (), number / 1024, None, ()))
    return made


def test_history_keeps_usage_between_samples_and_what_each_tells() -> None:
    clocks = Clocks()
    made = clocks.history()
    disk = (FileSystemUse("/dev/vda", "ext4", "/", 0.25),)
    made.add(Sample(0, (CpuTime(1, 10), CpuTime(1, 10)), 0.5, None, disk, ("0", "1")))
    clocks.pass_by(5)
    after = Sample(5, (CpuTime(2, 15), CpuTime(5, 15)), 0.75, 0.125, disk, ("0", "1"))
    made.add(after, {("service", "http", "web"): 1.0})
    moment = made.at(clocks.wall)
    assert moment is not None
    assert moment.wall == 1_000_005
    core = moment.values["core", "1"]
    assert core == pytest.approx(0.8)
    assert moment.values == {
        ("cpu",): 0.5,
        ("core", "0"): pytest.approx(0.2),
        ("core", "1"): core,
        ("memory",): 0.75,
        ("swap",): 0.125,
        ("filesystem", "/"): 0.25,
        ("service", "http", "web"): 1.0,
    }


@pytest.mark.parametrize(
    ("ago", "number"),
    [
        pytest.param(0, 99, id="now"),
        pytest.param(2, 99, id="just after the sample before it"),
        pytest.param(2.6, 98, id="between two: the one before"),
        pytest.param(5, 98, id="the one before the last"),
        pytest.param(-3, 99, id="a clock that is a little ahead of ours"),
        pytest.param(495, 0, id="the first"),
        pytest.param(497, 0, id="just before the first"),
        pytest.param(498, None, id="before the first"),
        pytest.param(-10, None, id="the future"),
        pytest.param(1e9, None, id="long ago"),
        pytest.param(-1e11, None, id="the far future"),
    ],
)
def test_moment_is_that_of_the_sample_before_it_or_just_after(ago: float, number: int | None) -> None:
    clocks = Clocks()
    moment = hour(clocks, 100).at(clocks.wall - ago)
    assert (None if moment is None else moment.values["memory",] * 1024) == number


def test_an_hour_is_kept_and_no_more() -> None:
    clocks = Clocks()
    made = hour(clocks, 1000)
    first = made.at(clocks.wall - 3595)
    assert first is not None
    assert first.values["memory",] * 1024 == 280
    assert made.at(clocks.wall - 3605) is None


def test_what_was_kept_moves_with_a_clock_that_is_set() -> None:
    """What happened ten minutes ago happened ten minutes ago, whatever the clock said then."""
    clocks = Clocks()
    made = hour(clocks, 100)
    clocks.wall -= 86_400
    back = made.at(clocks.wall - 300)
    assert back is not None
    assert (back.values["memory",] * 1024, back.wall) == (39, clocks.wall - 300)
    assert made.at(clocks.wall + 86_400) is None


def test_while_no_samples_are_taken_there_is_nothing() -> None:
    clocks = Clocks()
    made = hour(clocks, 10)
    clocks.pass_by(60)
    made.add(Sample(clocks.boot, (), 0.5, None, ()))
    assert made.at(clocks.wall - 30) is None
    assert made.at(clocks.wall - 60) is not None
    assert made.at(clocks.wall) is not None


def test_sources_leave_room_for_the_machine_itself() -> None:
    clocks = Clocks()
    made = clocks.history()
    services = {("service", "tcp", str(n)): 1.0 for n in range(10_000)}
    made.add(Sample(0, (CpuTime(1, 10),), 0.5, None, (), ("0",)), services)
    clocks.pass_by(5)
    made.add(Sample(5, (CpuTime(2, 20),), 0.5, None, (), ("0",)))
    moment = made.at(clocks.wall)
    assert moment is not None
    assert moment.values["cpu",] == pytest.approx(0.1)
    assert len(made.past.columns()) == MAX_SOURCE_COLUMNS + 3
