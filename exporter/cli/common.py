"""What several commands share: kinds of arguments, and how a command ends with an error."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.settings.values import Duration

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


def duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> "Duration | None":
    """Return the length of time that `15s`, `250ms` or `1m30s` means, as in the settings: an option's callback."""
    from exporter.settings.values import Duration

    if value is None:
        return None
    try:
        found = Duration.parse(value)
    except ValueError as err:
        raise click.BadParameter(str(err)) from err
    if found <= 0:
        raise click.BadParameter(f"expected more than 0s, got {value!r}")
    return found
