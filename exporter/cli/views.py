"""What commands that show tables share: progress, pages, JSON, and what to do where rich is missing."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from exporter.cli.common import USAGE_ERROR, fail

if TYPE_CHECKING:
    from exporter.fleet.arrange import Column, Filter, Page, Sort
    from exporter.fleet.model import Progress

T = TypeVar("T")

UNHEALTHY: Final = 1
UNREACHABLE: Final = 3
# what takes longer says how far it is
_PATIENCE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.2


class TableOptions(NamedTuple):
    """What the options of every table said."""

    sort: str | None
    filters: tuple[str, ...]
    limit: int | None
    page: int
    as_json: bool

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "TableOptions":
        """Return what `table_options` made of a call."""
        return cls(*(given[name] for name in ("sort", "filters", "limit", "page", "as_json")))


class Arranged(NamedTuple):
    """How rows are to be arranged, checked before anybody is asked."""

    sorts: "tuple[Sort, ...]"
    filters: "tuple[Filter, ...]"


def need_rich() -> None:
    """End with what to do where tables cannot be drawn."""
    try:
        import rich  # noqa: F401 -- only whether it is there
    except ImportError:
        fail("tables need rich, which is not installed: pip install 'hostwatch[fleet]', or use --json", USAGE_ERROR)


def arrangement(options: TableOptions, columns: "Sequence[Column[T]]", *, labels: bool = False) -> Arranged:
    """Return how to arrange, `labels` of hosts among it or not. Ends as a usage error for a column there is not."""
    from exporter.fleet.arrange import parse_filter, parse_sort

    names = [column.name for column in columns]
    try:
        sorts = parse_sort(options.sort, names) if options.sort is not None else ()
    except ValueError as err:
        fail(f"--sort: {err}", USAGE_ERROR)
    filters = []
    for text in options.filters:
        try:
            found = parse_filter(text)
        except ValueError as err:
            fail(f"--filter: {err}", USAGE_ERROR)
        if found.name not in names and not labels:
            fail(f"--filter: expected one of {', '.join(names)}, got {found.name!r}", USAGE_ERROR)
        filters.append(found)
    return Arranged(sorts, tuple(filters))


def arranged(
    rows: Sequence[T],
    columns: "Sequence[Column[T]]",
    how: Arranged,
    labels_of: "Callable[[T], Mapping[str, str]]" = lambda _row: {},
) -> list[T]:
    """Return the rows that pass all filters, sorted."""
    from exporter.fleet.arrange import passes, sort_rows

    by_name = {column.name: column.value for column in columns}

    def is_wanted(row: T) -> bool:
        for one in how.filters:
            cell = by_name[one.name](row) if one.name in by_name else labels_of(row).get(one.name)
            if not passes(cell, one):
                return False
        return True

    return sort_rows([row for row in rows if is_wanted(row)], columns, how.sorts)


def fetched(fetch: "Callable[[Progress], T]", what: str) -> T:
    """Return what is fetched, on a daemon thread: Ctrl-C ends at once, and what takes its time says how far it is.

    Ends with the code for an unreachable source when there is nothing.
    """
    from exporter.fleet.model import SourceError

    got: list[T] = []
    failed: list[Exception] = []
    at: list[tuple[int, int]] = [(0, 0)]

    def progress(done: int, of: int) -> None:
        at[0] = (done, of)

    def work() -> None:
        try:
            got.append(fetch(progress))
        except Exception as err:  # noqa: BLE001 -- raised again below
            failed.append(err)

    thread = threading.Thread(target=work, daemon=True, name="fetch")
    begun = time.monotonic()
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    is_seen = sys.stderr.isatty()
    while thread.is_alive():
        if is_seen:
            done, of = at[0]
            seconds = time.monotonic() - begun
            click.echo(f"\r\x1b[K{what}: {done} of {of or '?'} answers, {seconds:.0f} s", err=True, nl=False)
        thread.join(_LOOK_SECONDS)
    if is_seen and time.monotonic() - begun > _PATIENCE_SECONDS:
        click.echo("\r\x1b[K", err=True, nl=False)
    if failed:
        if isinstance(failed[0], SourceError):
            fail(str(failed[0]), UNREACHABLE)
        raise failed[0]
    return got[0]


def write_json(fields: Mapping[str, Any]) -> None:
    """Write one object."""
    click.echo(json.dumps(fields, indent=2, ensure_ascii=False))


def page_fields(page: "Page") -> dict[str, int]:
    """Return where a page stands, as JSON has it."""
    return {"total": page.total, "page": page.number, "pages": page.pages}


def page_words(page: "Page") -> str:
    """Return where a page stands, for people; nothing when there is only one."""
    if page.pages == 1 and page.number == 1:
        return ""
    more = f", --page {page.number + 1} for more" if page.number < page.pages else ""
    return f"Page {page.number} of {page.pages}{more}."


def draw(
    rows: Sequence[T], columns: "Sequence[Column[T]]", below: Iterable[str], notes: Iterable[tuple[str, str]]
) -> None:
    """Show a table, one line below it, and a line for each note: its text and tone."""
    from exporter.fleet.columns import plain
    from exporter.fleet.tables import console_for, say, show, table_of

    console = console_for()
    if rows:
        show(console, table_of(rows, columns))
    words = " ".join(text for text in below if text)
    if words:
        say(console, plain(words))
    for text, tone in notes:
        say(console, plain(text), tone)
