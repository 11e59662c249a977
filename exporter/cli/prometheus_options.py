"""How a command asks Prometheus: the options, and what they make."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli.common import USAGE_ERROR, access_of, duration, fail

if TYPE_CHECKING:
    from exporter.fleet.asking import Asker

DEFAULT_URL: Final = "http://localhost:9090"

_RATIO: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*(%?)", re.ASCII)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def ratio(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Return the share of 1 that `75%` or `0.75` means: an option's callback."""
    match = _RATIO.fullmatch(value.strip())
    found = None if match is None else float(f"{match[1]}e-2" if match[2] else match[1])
    if found is None or not 0 < found <= 1:
        raise click.BadParameter(f"expected a share such as 75% or 0.75, got {value!r}")
    return found


def prometheus_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which Prometheus is asked, and how."""
    options: tuple[Decorator, ...] = (
        click.option("--prometheus", metavar="URL", help=f"Where Prometheus is  [default: {DEFAULT_URL}]."),
        click.option("--username", metavar="NAME", help="For a Prometheus with a password."),
        click.option("--password-file", type=click.Path(path_type=Path), help="Its first line is that password."),
        click.option(
            "--ca-file", type=click.Path(path_type=Path), help="Authorities (PEM) that its certificate ends in."
        ),
        click.option(
            "--timeout",
            metavar="DURATION",
            callback=duration,
            help="For one request  [default: 5s, of Prometheus 15s].",
        ),
        click.option(
            "--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="Requests at a time."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def table_options(columns: str) -> Decorator:
    """Add the options that every table has; `columns` says in the help which there are."""
    options: tuple[Decorator, ...] = (
        click.option("--sort", metavar="COLUMN", help=f"Of {columns}; -COLUMN falling; several with commas."),
        click.option("--filter", "filters", metavar="COLUMN=PATTERN", multiple=True,
                     help="Only rows that match: service=User*, status!=healthy, cpu>=80%; all of several."),
        click.option("--limit", type=click.IntRange(min=1), help="Rows on a page."),
        click.option("--page", type=click.IntRange(min=1), default=1, help="Which page, with --limit  [default: 1]."),
        click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object."),
    )  # fmt: skip

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def asker_of(given: Mapping[str, Any]) -> "Asker":
    """Return how Prometheus is asked, of what the options said.

    Reads the files; ends as a usage error naming the one that cannot be used.
    """
    from exporter.fleet.asking import QUERY_SECONDS, Asker

    if (given["username"] is None) is not (given["password_file"] is None):
        fail("--username: expected --password-file beside it, and the other way round", USAGE_ERROR)
    access = access_of(given["username"] or "", given["password_file"], given["ca_file"])
    seconds = QUERY_SECONDS if given["timeout"] is None else given["timeout"]
    return Asker(given["prometheus"] or DEFAULT_URL, access, given["concurrency"], seconds)
