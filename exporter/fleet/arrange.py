"""Sorting, filtering and paging of rows by their columns. Pure functions of their arguments."""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from exporter.settings.values import shown

T = TypeVar("T")
Cell = str | float | None

_FILTER: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_RATIO: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(%?)", re.ASCII)
_DIGITS: Final = re.compile(r"(\d+)", re.ASCII)
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


class Column(NamedTuple, Generic[T]):
    """One column: its name for options and headings, a row's value in it, and how people see that."""

    name: str
    value: Callable[[T], Cell]
    show: Callable[[T], str]
    tone: Callable[[T], str] = lambda _row: ""
    """What kind of thing it says: good, bad, unsure, quiet, or nothing special."""
    is_number: bool = False


class Sort(NamedTuple):
    """One column to sort by."""

    column: str
    descending: bool = False


class Filter(NamedTuple):
    """One condition: a column or label, a comparison and what to compare with."""

    name: str
    sign: str
    wanted: str


class Page(NamedTuple):
    """One page of rows, and how many there are."""

    number: int
    """From 1."""
    pages: int
    total: int


def parse_sort(text: str, names: Sequence[str]) -> tuple[Sort, ...]:
    """Return what `cpu`, `-cpu` or `service,-cpu` means, minus for falling. Raises ValueError for no such column."""
    found = []
    for part in text.split(","):
        name = part.strip().removeprefix("-")
        if name not in names:
            raise ValueError(f"expected one of {', '.join(names)}, with - before it for falling, got {shown(part)}")
        found.append(Sort(name, part.strip().startswith("-")))
    return tuple(found)


def parse_filter(text: str) -> Filter:
    """Return what `service=User*`, `status!=healthy` or `cpu>=80%` means. Raises ValueError for anything else."""
    match = _FILTER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected NAME=PATTERN, NAME!=PATTERN or such as cpu>=80%, got {shown(text)}")
    name, sign, wanted = match[1], match[2], match[3].strip()
    if sign in _COMPARE:
        _number(wanted)
    return Filter(name, sign, wanted)


def passes(cell: Cell, condition: Filter) -> bool:
    """Whether a value passes: patterns as file names have them, in any case; what is missing passes != only."""
    if condition.sign in _COMPARE:
        return isinstance(cell, float | int) and _COMPARE[condition.sign](cell, _number(condition.wanted))
    if isinstance(cell, float | int):
        try:
            same = abs(cell - _number(condition.wanted)) < 1e-9
        except ValueError:
            same = False
    else:
        same = fnmatch.fnmatchcase((cell or "").lower(), condition.wanted.lower())
    return same == (condition.sign == "=")


def sort_key(cell: Cell) -> tuple[object, ...]:
    """Return what sorts values as people do: web-2 before web-10."""
    if isinstance(cell, str):
        return tuple(_part_key(part) for part in _DIGITS.split(cell))
    return (cell,)


def _part_key(part: str) -> tuple[int, int, str]:
    """Return what sorts numbers by size, before words; not as int, which refuses those of thousands of digits."""
    if part.isdecimal():
        digits = part.lstrip("0")
        return 0, len(digits), digits
    return 1, 0, part.lower()


def sort_rows(rows: Sequence[T], columns: Sequence[Column[T]], orders: Sequence[Sort]) -> list[T]:
    """Return the rows sorted by the first order, those alike by the next; what is missing comes last, either way."""
    by_name = {column.name: column.value for column in columns}
    result = list(rows)
    for order in reversed(orders):
        value = by_name[order.column]
        known = [row for row in result if value(row) is not None]
        known.sort(key=lambda row, value=value: sort_key(value(row)), reverse=order.descending)  # type: ignore[misc]
        result = known + [row for row in result if value(row) is None]
    return result


def page_of(rows: Sequence[T], limit: int | None, number: int) -> tuple[Sequence[T], Page]:
    """Return one page of so many rows, and where it stands; all of them without a limit."""
    if limit is None:
        return rows, Page(1, 1, len(rows))
    pages = max(1, -(-len(rows) // limit))
    start = (number - 1) * limit
    return rows[start : start + limit], Page(number, pages, len(rows))


def _number(text: str) -> float:
    match = _RATIO.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a number such as 80% or 0.8, got {shown(text)}")
    return float(f"{match[1]}e-2") if match[2] else float(match[1])
