"""The rows of a page, read back: label values with all that they may hold."""

import pytest

from exporter.web.rows import Rows

PAGE = (
    b"# HELP up What.\n# TYPE up gauge\n"
    b'up{name="a b",why="x}y,z=\\"1\\""} 1\nup{name="c\\\\n\\n",why=""} 0\nload 2.5e-07\nbig 18446744073709551615\n'
)


def test_labels_come_back_as_they_were() -> None:
    assert [dict(labels) for labels, _ in Rows(PAGE).all("up")] == [
        {"name": "a b", "why": 'x}y,z="1"'},
        {"name": "c\\n\n", "why": ""},
    ]


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [("up", {}, 1.0), ("up", {"why": ""}, 0.0), ("up", {"why": "no"}, None), ("load", {}, 2.5e-7), ("none", {}, None)],
)
def test_value_is_that_of_the_first_row_with_the_labels(name: str, labels: dict[str, str], value: float | None) -> None:
    assert Rows(PAGE).one(name, **labels) == value


def test_no_page_has_no_rows() -> None:
    assert Rows(b"").one("up") is None
    assert Rows(b"").by("name", "up") == {}


def test_line_separator_of_unicode_ends_no_row() -> None:
    assert Rows('up{name="a\u2028b"} 1\n'.encode()).by("name", "up") == {"a\u2028b": 1.0}
