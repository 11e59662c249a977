"""The cap on series: the first ones stay, the rest are counted; what fits is not even looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.collectors.cardinality import Budget, Count, count_series, explain
from exporter.exposition import Family, Layout

A = Family("node_a_total", "counter", "A\nin two lines.", ("device",))
B = Family("node_b", "gauge", "B.", ("device",))


def page(a: int, b: int) -> bytes:
    keys = [(f'a "quoted"\n# HELP {number}',) for number in range(max(a, b))]
    layout = Layout([(A, keys[:a]), (B, keys[:b])])
    return layout.fill([b"%d" % number for number in range(a + b)])


def samples(text: bytes) -> dict[str, int]:
    return {family.name: len(family.samples) for family in text_string_to_metric_families(text.decode())}


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 50))
def test_each_family_keeps_its_first_samples_and_the_others_are_counted(a: int, b: int, cap: int) -> None:
    budget = Budget(cap)
    kept = budget.keep("zoo", page(a, b))
    expected = {"node_a": min(a, cap), "node_b": min(b, cap)}
    assert samples(kept) == {name: count for name, count in expected.items() if count}
    assert budget.dropped.get("zoo", 0) == max(a - cap, 0) + max(b - cap, 0)
    assert page(a, b).startswith(kept[: kept.find(b"\n")])
    assert kept == b"" or kept.endswith(b"\n")


def test_text_that_fits_comes_back_as_it_is() -> None:
    text = page(3, 3)
    assert Budget(4096).keep("zoo", text) is text
    assert Budget(3).keep("zoo", text) is text


def test_what_is_dropped_adds_up_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    budget = Budget(2)
    for _ in range(3):
        budget.keep("zoo", page(30, 0))
    assert budget.dropped == {"zoo": 84}
    assert [record.message for record in caplog.records] == ["series dropped"]


H = Family("host_h_seconds", "histogram", "H.", ("target",))
BUCKET = H._replace(name="host_h_seconds_bucket", labels=("target", "le"))


def histograms(number: int, ends: tuple[str, str]) -> bytes:
    """Return histograms of four samples each, their last two in the given order, and another family behind them."""
    lines = [H.header()]
    for target in map(str, range(number)):
        lines += [BUCKET.prefix((target, edge)) + b"1\n" for edge in ("0.5", "+Inf")]
        lines += [H._replace(name=f"host_h_seconds_{end}").prefix((target,)) + b"1\n" for end in ends]
    return b"".join(lines) + page(0, 20)


@pytest.mark.parametrize("ends", [("sum", "count"), ("count", "sum")], ids="-".join)
@pytest.mark.parametrize(("cap", "whole"), [(3, 0), (4, 1), (5, 1), (7, 1), (8, 2), (39, 9), (40, 10)])
def test_histogram_is_kept_whole_or_not_at_all(cap: int, whole: int, ends: tuple[str, str]) -> None:
    budget = Budget(cap)
    kept = budget.keep("ping", histograms(10, ends))
    assert [kept.count(b"host_h_seconds_%s{" % part) for part in (b"bucket", b"sum", b"count")] == [
        2 * whole,
        whole,
        whole,
    ]
    assert samples(kept)["node_b"] == min(cap, 20)
    assert budget.dropped.get("ping", 0) == 40 - 4 * whole + max(20 - cap, 0)


def test_table_names_family_collector_and_number() -> None:
    counts = count_series(page(3, 5) + b"# HELP node_c C.\n# TYPE node_c gauge\nnode_c 1\n", [("zoo", (A, B))])
    assert counts == [Count("node_b", "zoo", 5), Count("node_a_total", "zoo", 3), Count("node_c", "zoo", 1)]
    text = explain(counts, 4096)
    assert text.splitlines()[1].split() == ["node_b", "zoo", "5"]
    assert text.endswith("9 series in 3 families; at most 4096 in each (scrape.series_per_family)")


def test_empty_page_has_no_families() -> None:
    assert count_series(b"", []) == []
    assert explain([], 1).startswith("FAMILY")
