"""An hour of values in memory that never grows."""

import math
import sys

from hypothesis import given
from hypothesis import strategies as st

from exporter.history import MAX_COLUMNS, CpuTime, FileSystemUse, History, Past, Sample


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1, width=32)), max_size=40))
def test_the_newest_values_of_an_hour_stay_in_their_order(moments: list[dict[str, float]]) -> None:
    past = Past(interval=5, seconds=50)
    for number, values in enumerate(moments):
        past.add(float(number), {(key,): value for key, value in values.items()})
    for key in "abc":
        kept = [(n, values) for n, values in enumerate(moments) if n >= len(moments) - 10]
        expected = [(float(n), values[key]) for n, values in kept if key in values]
        assert past.values((key,)) == expected


def test_a_key_that_is_silent_for_an_hour_is_forgotten() -> None:
    past = Past(1, 10)
    past.add(0, {("gone",): 1.0, ("here",): 1.0})
    for moment in range(1, 21):
        past.add(moment, {("here",): 1.0})
    assert past.columns() == (("here",),)


def test_there_are_never_more_columns_than_allowed_and_memory_is_full_from_the_start() -> None:
    past = Past(5)
    for number in range(MAX_COLUMNS + 100):
        past.add(number, {("key", str(number)): 0.5})
    assert len(past.columns()) <= MAX_COLUMNS
    assert sum(sys.getsizeof(column) for column in past._columns.values()) <= MAX_COLUMNS * (720 * 4 + 100)


def test_unknown_key_has_no_values() -> None:
    assert Past(5).values(("cpu",)) == []


def test_history_keeps_usage_between_samples_and_what_each_tells() -> None:
    history = History(5, clock=lambda: 0, wall=iter([100.0, 105.0]).__next__)
    disk = (FileSystemUse("/dev/vda", "ext4", "/", 0.25),)
    history.add(Sample(0, (CpuTime(1, 10), CpuTime(1, 10)), 0.5, None, disk))
    history.add(Sample(5, (CpuTime(2, 15), CpuTime(5, 15)), 0.75, 0.125, disk))
    assert history.past.values(("cpu",)) == [(105.0, 0.5)]
    assert [round(value, 6) for _, value in history.past.values(("core", "1"))] == [0.8]
    assert history.past.values(("memory",)) == [(100.0, 0.5), (105.0, 0.75)]
    assert history.past.values(("swap",)) == [(105.0, 0.125)]
    assert history.past.values(("filesystem", "/")) == [(100.0, 0.25), (105.0, 0.25)]
    assert not any(math.isnan(value) for key in history.past.columns() for _, value in history.past.values(key))
