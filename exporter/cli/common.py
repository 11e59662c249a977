"""What several commands share: kinds of arguments, and how a command ends with an error."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = click.Path(path_type=Path, dir_okay=False)
LOG_FORMATS = click.Choice(["json", "text"])

USAGE_ERROR = 2


def fail(text: str, code: int) -> NoReturn:
    """End with an exit code, the reason on standard error: no traceback for a user's mistake."""
    click.echo(text, err=True)
    sys.exit(code)


def check_address(text: str, parse: "Callable[[str], object]") -> None:
    """End as a usage error unless `parse` takes an address that --listen gives."""
    try:
        parse(text)
    except ValueError as err:
        fail(f"--listen: {err}", USAGE_ERROR)
