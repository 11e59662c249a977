"""What several commands share: kinds of arguments, and how a command ends with an error."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.clients.http_get import Access
    from exporter.settings.values import Duration

FILE = click.Path(path_type=Path, dir_okay=False)
LOG_FORMATS = click.Choice(["json", "text"])

USAGE_ERROR = 2
MAX_PASSWORD: Final = 4096


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


def access_of(
    username: str, password_file: Path | None, ca_file: Path | None, option: str = "--password-file"
) -> "Access":
    """Return what a server asks for: a name, the first line of a file, and the authority that signed for it.

    Reads the files; ends as a usage error naming the one that cannot be used, and the option that gave it.
    """
    from exporter.clients.http_get import Access, GetError, tls_context
    from exporter.logs import Secret

    try:
        password = None if password_file is None else Secret(_first_line(password_file))
        tls = None if ca_file is None else tls_context(str(ca_file))
    except (OSError, ValueError) as err:
        fail(f"{option}: {password_file}: {getattr(err, 'strerror', None) or err}", USAGE_ERROR)
    except GetError as err:
        fail(f"--ca-file: {err}", USAGE_ERROR)
    return Access(username, password, tls)


def _first_line(file: Path) -> str:
    """Return it without the white space around it. Raises OSError, and ValueError for what is no password."""
    with file.open("rb") as opened:
        data = opened.read(MAX_PASSWORD + 1)
    if len(data) > MAX_PASSWORD:
        raise ValueError(f"expected {MAX_PASSWORD} bytes at most")
    try:
        line = data.decode().split("\n", 1)[0].strip()
    except UnicodeDecodeError:
        raise ValueError("expected text in UTF-8") from None  # that error shows a part of the password
    if not line:
        raise ValueError("expected a password in its first line")
    return line
