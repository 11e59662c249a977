"""Sorting, filtering and paging."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.fleet.arrange import (
    Cell,
    Column,
    Filter,
    Page,
    Sort,
    page_of,
    parse_filter,
    parse_sort,
    passes,
    sort_rows,
)

Pair = tuple[str | None, float | None]
COLUMNS: tuple[Column[Pair], ...] = (
    Column("name", lambda one: one[0], lambda one: str(one[0])),
    Column("cpu", lambda one: one[1], lambda one: str(one[1]), is_number=True),
)
NAMES = ["name", "cpu"]


def test_names_sort_as_people_do() -> None:
    names = ["10.58.1.2", "10.58.1.9", "10.58.1.10", "10.58.2.1", "web-2", "Web-3", "web-10"]
    mixed = names.copy()
    random.Random(7).shuffle(mixed)
    rows: list[Pair] = [(name, None) for name in mixed]
    assert [one[0] for one in sort_rows(rows, COLUMNS, [Sort("name")])] == names


def test_a_name_of_ten_thousand_digits_is_no_trouble() -> None:
    rows: list[Pair] = [("9" * 10_000, None), ("1" + "0" * 10_000, None), ("7", None)]
    assert [len(one[0] or "") for one in sort_rows(rows, COLUMNS, [Sort("name")])] == [1, 10_000, 10_001]


@pytest.mark.parametrize("descending", [False, True])
def test_what_is_missing_comes_last_either_way(descending: bool) -> None:
    rows: list[Pair] = [("a", None), ("b", 0.5), ("c", 0.1), ("d", None)]
    names = [one[0] for one in sort_rows(rows, COLUMNS, [Sort("cpu", descending)])]
    assert names == (["b", "c", "a", "d"] if descending else ["c", "b", "a", "d"])


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.none() | st.integers(0, 3).map(float))))
def test_several_columns_sort_like_one_after_the_other(rows: list[Pair]) -> None:
    found = sort_rows(rows, COLUMNS, [Sort("name"), Sort("cpu", descending=True)])
    key = lambda one: (one[0] is None, one[0] or "", one[1] is None, -(one[1] or 0.0))
    assert found == sorted(rows, key=key)


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        ("cpu", (Sort("cpu"),)),
        ("-cpu", (Sort("cpu", descending=True),)),
        ("name, -cpu", (Sort("name"), Sort("cpu", descending=True))),
    ],
)
def test_sort_is_read(text: str, orders: tuple[Sort, ...]) -> None:
    assert parse_sort(text, NAMES) == orders


@pytest.mark.parametrize("text", ["", "disk", "cpu,", "--cpu", "+cpu"])
def test_a_sort_by_no_column_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one of name, cpu, with - before it"):
        parse_sort(text, NAMES)


FILTERS = {
    "equal": ("service=UserService", "UserService", True),
    "any case": ("service=userservice", "UserService", True),
    "pattern": ("service=User*", "UserService", True),
    "other": ("service=User", "UserService", False),
    "not": ("service!=User*", "UserService", False),
    "missing is not equal": ("service=*x", None, False),
    "missing is different": ("service!=x", None, True),
    "at least": ("cpu>=80%", 0.8, True),
    "more": ("cpu>80%", 0.8, False),
    "less": ("cpu < 0.8", 0.79, True),
    "at most": ("cpu<=80%", 0.81, False),
    "missing is not less": ("cpu<80%", None, False),
    "text is not less": ("service<80%", "0.1", False),
    "number": ("cpu=61%", 0.61, True),
    "another number": ("cpu=61%", 0.62, False),
    "number and a word": ("cpu!=high", 0.61, True),
}


@pytest.mark.parametrize(("text", "cell", "is_in"), FILTERS.values(), ids=FILTERS)
def test_filter(text: str, cell: Cell, is_in: bool) -> None:
    assert passes(cell, parse_filter(text)) is is_in


def test_filter_is_read_with_its_parts() -> None:
    assert parse_filter(" status != healthy ") == Filter("status", "!=", "healthy")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected NAME=PATTERN"),
        ("service", "expected NAME=PATTERN"),
        ("=x", "expected NAME=PATTERN"),
        ("cpu>high", "expected a number such as 80%"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_filter(text)


PAGES = {
    "without a limit": (None, 1, 7, Page(1, 1, 7)),
    "first": (3, 1, 3, Page(1, 3, 7)),
    "last": (3, 3, 1, Page(3, 3, 7)),
    "beyond": (3, 4, 0, Page(4, 3, 7)),
    "all on one": (10, 1, 7, Page(1, 1, 7)),
}


@pytest.mark.parametrize(("limit", "number", "count", "page"), PAGES.values(), ids=PAGES)
def test_page(limit: int | None, number: int, count: int, page: Page) -> None:
    rows, found = page_of(list(range(7)), limit, number)
    assert (len(rows), found) == (count, page)


def test_pages_together_are_all_rows_once() -> None:
    everything = [row for number in range(1, 5) for row in page_of(list(range(10)), 3, number)[0]]
    assert everything == list(range(10))
