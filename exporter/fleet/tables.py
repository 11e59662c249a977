"""Tables in a terminal, and as plain text elsewhere (rich; NO_COLOR and FORCE_COLOR as it has them)."""

from collections.abc import Sequence
from typing import IO, Final, TypeVar

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from exporter.fleet.arrange import Column

T = TypeVar("T")

STYLES: Final = {"": "", "good": "green", "bad": "bold red", "unsure": "yellow", "quiet": "dim"}
# where there is no terminal a row is one line whatever its length: programs and grep(1) read lines
_NO_EDGE: Final = 10_000


def console_for(stream: IO[str] | None = None) -> Console:
    """Return what writes to a stream, standard output without one: coloured where that is a terminal."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = _NO_EDGE
    return console


def table_of(rows: Sequence[T], columns: Sequence[Column[T]]) -> Table:
    """Return the rows as a table; texts from elsewhere are texts, never markup."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        # what may be long gives way first in a narrow window; numbers and states last
        table.add_column(
            Text(column.name.upper()),
            justify="right" if column.is_number else "left",
            no_wrap=column.name not in {"reason", "image"},
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(_cell(column.show(row), STYLES[column.tone(row)]) for column in columns))
    return table


def _cell(text: str, style: str) -> Text:
    """Return a cell of one line whatever its column's width: the live view counts lines."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def show(console: Console, drawn: RenderableType) -> None:
    """Write a table or a view; where there is no terminal, without the blanks that fill its lines."""
    if console.is_terminal:
        console.print(drawn)
        return
    with console.capture() as capture:
        console.print(drawn)
    console.print(Text("\n".join(line.rstrip() for line in capture.get().splitlines())))


def say(console: Console, text: str, tone: str = "quiet") -> None:
    """Write a line below or above a table."""
    console.print(Text(text, STYLES[tone]))
