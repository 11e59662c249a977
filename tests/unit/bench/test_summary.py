import pytest

from bench.summary import Record, Summary, mean, median, quantile, ratio


def test_a_median_shows_its_spread() -> None:
    assert median([3.0, 1.0, 8.0]) == Summary(3.0, 1.0, 8.0)


def test_a_mean_keeps_what_happens_in_one_block_of_many() -> None:
    assert mean([0.0, 0.0, 0.0, 4.0]) == Summary(1.0, 0.0, 4.0)


def test_a_ratio_is_taken_block_by_block() -> None:
    # the machine became twice as slow for both: the ratio of the medians would be 0.1 too, but with a spread from 0.05
    assert ratio([1.0, 2.0, 2.0], [10.0, 20.0, 20.0]) == Summary(0.1, 0.1, 0.1)


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [0.0]), ([1.0], []), ([1.0, 2.0], [1.0])], ids=str)
def test_without_pairs_there_is_no_ratio(ours: list[float], theirs: list[float]) -> None:
    assert ratio(ours, theirs) is None


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)], ids=str)
def test_quantiles_are_values_that_occurred(share: float, expected: int) -> None:
    assert quantile(range(100, 0, -1), share) == expected


def test_no_block_is_no_figure() -> None:
    record = Record()
    assert median(record.blocks("ours_t", "hot_cpu")) is None
    assert record.plain() == {}


def test_a_record_keeps_the_order_of_the_blocks() -> None:
    record = Record()
    for value in (2.0, 1.0):
        record.add("ours_t", "hot_cpu", value)
    assert record.plain() == {"ours_t": {"hot_cpu": [2.0, 1.0]}}
