"""An hour of values in memory that never grows."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.history import MAX_COLUMNS, Past
from exporter.history.past import MAX_CELLS


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
    past = Past(60)
    for number in range(MAX_COLUMNS + 100):
        past.add(number, {("key", str(number)): 0.5})
    assert len(past.columns()) <= MAX_COLUMNS
    assert sys.getsizeof(past._table.cells) <= MAX_COLUMNS * 60 * 4 + 100


def test_unknown_key_has_no_values() -> None:
    assert Past(5).values(("cpu",)) == []


@pytest.mark.parametrize("interval", [1, 5, 60])
def test_memory_is_bounded_whatever_the_interval(interval: float) -> None:
    past = Past(interval)
    past.add(0, {("key", str(number)): 0.5 for number in range(10_000)})
    assert len(past.columns()) <= MAX_COLUMNS
    cells, times = sys.getsizeof(past._table.cells), sys.getsizeof(past._times)
    past.add(1, {("key", str(number)): 0.5 for number in range(5_000)})
    assert (sys.getsizeof(past._table.cells), sys.getsizeof(past._times)) == (cells, times)
    assert cells <= 4 * MAX_CELLS + 100 == 11_796_580
    assert times <= 8 * 3600 + 100


@pytest.mark.parametrize(
    ("earliest", "latest", "found"),
    [(0, 100, 9), (4.5, 6.5, 6), (6, 6, 6), (6.1, 6.9, None), (-5, -1, None), (math.nan, math.nan, None)],
)
def test_row_is_the_newest_between_two_moments(earliest: float, latest: float, found: int | None) -> None:
    past = Past(1, 20)
    for moment in range(10):
        past.add(moment, {("a",): float(moment), **({("b",): 1.0} if moment % 2 else {})})
    row = past.row(earliest, latest)
    if found is None:
        assert row is None
    else:
        assert row == (found, {("a",): found, **({("b",): 1.0} if found % 2 else {})})


def test_row_of_a_key_that_is_new_has_gaps_before() -> None:
    past = Past(1, 10)
    past.add(0, {("a",): 0.5})
    past.add(1, {("a",): 0.5, **{("b", str(n)): 0.25 for n in range(20)}})
    assert past.row(0, 0) == (0, {("a",): 0.5})
    newest = past.row(1, 1)
    assert newest is not None
    assert len(newest[1]) == 21


def test_row_that_is_just_overwritten_is_passed_by() -> None:
    past = Past(1, 2)
    past.add(0, {("a",): 0.5})
    past.add(1, {("a",): 0.25})
    past.add(2, {("a",): 0.125})
    assert past.row(0, 0) is None
    assert past.row(0, 1) == (1, {("a",): 0.25})
