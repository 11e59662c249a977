"""`hostwatch containers`: every container of every host, as a table, as JSON or as static pages."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli.common import USAGE_ERROR, duration, fail
from exporter.cli.prometheus_options import asker_of, prometheus_options, table_options
from exporter.cli.views import (
    UNHEALTHY,
    Arranged,
    TableOptions,
    arranged,
    arrangement,
    draw,
    fetched,
    need_rich,
    page_fields,
    page_words,
    write_json,
)

if TYPE_CHECKING:
    from exporter.fleet.arrange import Column
    from exporter.fleet.containers import Container, Containers

_TONES: Final = ("bad", "unsure", "unsure", "good")


@click.command()
@click.option("--exited", is_flag=True, help="Only those that have ended, well or not.")
@click.option("--environment", metavar="NAME", help="Only those of this environment.")
@click.option(
    "--html",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write static pages into this folder instead.",
)
@click.option(
    "--refresh",
    metavar="DURATION",
    callback=duration,
    default="1m",
    show_default=True,
    help="Browsers load those pages again so often.",
)
@click.option("--job", default="node", show_default=True, help="Prometheus' job whose targets are the hosts.")
@prometheus_options
@table_options("environment, host, container, state, image, version and since")
def containers(**given: Any) -> None:  # noqa: ANN401 -- as click gives them
    """Show every container that Prometheus knows: where it runs, its state, image and version, and since when.

    What has failed stands on top. With --html it becomes a landing page and a page for each environment, for any
    web server or a folder; a page is replaced as a whole, and stays as it is when Prometheus does not answer.

    Exit codes: 0 nothing is wrong (or the pages are written), 1 a container has failed, restarts or is unhealthy,
    or a host is silent, 2 wrong call, 3 Prometheus cannot be reached.

    \b
    Examples:
      hostwatch containers --exited
      hostwatch containers --environment production --sort -since --prometheus http://prometheus:9090
      hostwatch containers --html /var/www/containers
    """  # fmt: skip
    from exporter.fleet.containers import fetch_containers

    options = TableOptions.of(given)
    to_html: Path | None = given["html"]
    if to_html is not None and any((*options._replace(page=0), given["exited"], given["environment"])):
        fail("--html: expected no option of tables beside it: the pages show everything", USAGE_ERROR)
    asker = asker_of(given)
    columns = _columns()
    how = arrangement(options, columns)
    if to_html is None and not options.as_json:
        need_rich()
    found = fetched(lambda progress: fetch_containers(asker, given["job"], progress), f"Prometheus {asker.url}")
    if given["environment"] is not None:
        found = _only(found, given["environment"])
    if to_html is not None:
        _write(to_html, found, int(max(1, given["refresh"])))
        return
    _show(found, given["exited"], how, options)


def _only(found: "Containers", environment: str) -> "Containers":
    """Return what is of one environment."""
    return found._replace(
        containers=tuple(one for one in found.containers if one.environment == environment),
        silent=tuple(one for one in found.silent if one.environment == environment),
        hosts={name: hosts for name, hosts in found.hosts.items() if name == environment},
    )


def _write(folder: Path, found: "Containers", refresh: int) -> None:
    from exporter.fleet.container_pages import LANDING, pages
    from exporter.fleet.page_folder import write_pages

    made = pages(found, refresh)
    try:
        write_pages(folder, made)
    except OSError as err:
        fail(f"--html: {err.filename or folder}: {err.strerror or err}", USAGE_ERROR)
    click.echo(f"{len(made)} pages written, begin with {folder / LANDING}")


def _show(found: "Containers", exited: bool, how: Arranged, options: TableOptions) -> None:  # noqa: FBT001 -- an option
    from exporter.fleet.arrange import page_of
    from exporter.fleet.moments import rfc3339

    columns = _columns()
    rows = arranged([one for one in found.containers if not exited or one.has_ended], columns, how)
    shown, page = page_of(rows, options.limit, options.page)
    if options.as_json:
        listed = {**page_fields(page), "rows": [_fields(one) for one in shown]}
        silent = [one._asdict() for one in found.silent]
        write_json({"at": rfc3339(found.at), "faults": list(found.faults), "silent_hosts": silent, **listed})
    else:
        words = f"{len(rows)} containers{_failures(rows)}." if rows else "No containers."
        notes = [(f"{host.environment} {host.host}: {host.reason}", "unsure") for host in found.silent]
        draw(shown, columns, (words, page_words(page)), [*notes, *((fault, "bad") for fault in found.faults)])
    if found.silent or any(one.trouble < 2 for one in rows):
        sys.exit(UNHEALTHY)


def _failures(rows: "Sequence[Container]") -> str:
    failed = sum(one.has_failed for one in rows)
    return f", {failed} failed" if failed else ""


def _columns() -> "tuple[Column[Container], ...]":
    from exporter.fleet.arrange import Column
    from exporter.fleet.columns import plain
    from exporter.fleet.moments import local_words

    def text(name: str, value: "Callable[[Container], str | None]") -> "Column[Container]":
        return Column(name, value, lambda one: plain(value(one)))

    return (
        text("environment", lambda one: one.environment),
        text("host", lambda one: one.host),
        text("container", lambda one: one.name),
        Column("state", lambda one: one.words, lambda one: plain(one.words), lambda one: _TONES[one.trouble]),
        text("image", lambda one: one.image),
        text("version", lambda one: one.version),
        Column("since", lambda one: one.since, lambda one: "-" if one.since is None else local_words(one.since)),
    )


def _fields(one: "Container") -> dict[str, Any]:
    from exporter.fleet.columns import known
    from exporter.fleet.moments import rfc3339

    fields = {**one._asdict(), "since": None if one.since is None else rfc3339(one.since), "failed": one.has_failed}
    return known(fields)
