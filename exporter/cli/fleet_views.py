"""The views of `hostwatch fleet`: each fetches, shows a table or JSON, and ends with the exit code."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.cli.common import USAGE_ERROR, fail
from exporter.cli.prometheus_options import asker_of
from exporter.cli.views import (
    UNHEALTHY,
    UNREACHABLE,
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
    from rich.console import RenderableType

    from exporter.fleet.arrange import Column
    from exporter.fleet.live import Seen
    from exporter.fleet.model import Row, Snapshot, Source, Status


class FleetOptions(NamedTuple):
    """What the options of every view said."""

    source: "Source"
    columns: "tuple[Column[Row], ...]"
    key: str
    """What the name of a row is called: ip or host."""
    healthy_instances: int
    table: TableOptions

    @classmethod
    def of(cls, server: str | None, /, **given: Any) -> "FleetOptions":  # noqa: ANN401 -- as click gives them
        """Return what the options mean. Ends as a usage error for those that do not fit together."""
        from exporter.fleet.columns import host_columns, instance_columns
        from exporter.fleet.model import Thresholds

        limits = Thresholds(given["cpu_threshold"], given["memory_threshold"], given["disk_threshold"])
        table = TableOptions.of(given)
        if server is not None:
            if given["prometheus"] is not None:
                fail(f"expected a server or --prometheus, got both ({server} and {given['prometheus']})", USAGE_ERROR)
            source: Source = _api_source(server, limits, given)
            columns, key = instance_columns(limits), "ip"
        else:
            source = _prometheus_source(limits, given)
            columns, key = host_columns(limits, given["by"]), "host"
        return cls(source, columns, key, given["healthy_instances"], table)


def _api_source(server: str, limits: Any, given: dict[str, Any]) -> "Source":  # noqa: ANN401
    from exporter.fleet.api_source import ApiSource
    from exporter.fleet.services_api import Limits

    timeout: float = given["timeout"] or Limits().timeout
    try:
        return ApiSource(
            server,
            limits=Limits(timeout, given["concurrency"], given["max_instances"]),
            thresholds=limits,
            seconds=given["deadline"],
        )
    except ValueError as err:
        fail(f"SERVER: {err}", USAGE_ERROR)


def _prometheus_source(limits: Any, given: dict[str, Any]) -> "Source":  # noqa: ANN401
    from exporter.fleet.prometheus_source import PrometheusSource

    return PrometheusSource(
        asker_of(given),
        thresholds=limits,
        by=given["by"],
        job=given["job"],
    )


def show_summary(options: FleetOptions) -> None:
    """Show every row, and end."""
    from exporter.fleet.arrange import page_of
    from exporter.fleet.columns import row_fields

    how = _prepared(options, options.columns)
    snapshot = _fetch(options)
    rows = _rows(options, snapshot, how)
    shown, page = page_of(rows, options.table.limit, options.table.page)
    statuses = [row.status for row in rows]
    if options.table.as_json:
        listed = [row_fields(row, options.key) for row in shown]
        write_json({**_head(options, snapshot, statuses), **page_fields(page), "rows": listed})
    else:
        _draw(
            shown,
            options.columns,
            [_sum(statuses, "hosts" if options.key == "host" else "instances"), page_words(page)],
            snapshot,
        )
    _end(statuses)


def show_health(options: FleetOptions) -> None:
    """Show every service, and end."""
    from exporter.fleet import views
    from exporter.fleet.arrange import page_of
    from exporter.fleet.columns import SERVICE_COLUMNS, row_fields, service_fields

    how = _prepared(options, SERVICE_COLUMNS, labels=False)
    snapshot = _fetch(options)
    services = arranged(views.health(snapshot.rows, options.healthy_instances), SERVICE_COLUMNS, how)
    shown, page = page_of(services, options.table.limit, options.table.page)
    strays = views.strays(snapshot.rows)
    statuses = [service.status for service in services]
    if options.table.as_json:
        fields = {**_head(options, snapshot, statuses), **page_fields(page)}
        fields["services"] = [service_fields(one) for one in shown]
        write_json({**fields, "unknown_instances": [row_fields(row, options.key) for row in strays]})
    else:
        _draw(shown, SERVICE_COLUMNS, [_sum(statuses, "services"), page_words(page)], snapshot)
        _tell_strays(strays)
    _end(statuses)


def show_stats(options: FleetOptions, service: str) -> None:
    """Show one service's averages, and end."""
    from exporter.fleet import views
    from exporter.fleet.columns import SERVICE_COLUMNS, row_fields, service_fields

    _prepared(options, options.columns)
    snapshot = _fetch(options)
    found = views.service_stats(snapshot.rows, service, options.healthy_instances)
    strays = views.strays(snapshot.rows)
    if options.table.as_json:
        fields = {**_head(options, snapshot, [found.status]), **service_fields(found)}
        write_json({**fields, "unknown_instances": [row_fields(row, options.key) for row in strays]})
    elif found.instances:
        _draw([found], SERVICE_COLUMNS, [], snapshot)
        _tell_strays(strays)
    else:
        names = ", ".join(one.service for one in views.health(snapshot.rows)) or "none"
        _draw([], (), [f"No instance of {service!r}; services: {names}."], snapshot)
        _tell_strays(strays)
    _end([found.status])


def show_watch(options: FleetOptions, service: str, interval: float, rounds: int | None) -> None:
    """Show one service's rows until Ctrl-C; after `rounds` the exit code says how they were."""
    if options.table.as_json:
        fail("--json: a live view has none, use stats or summary with --filter", USAGE_ERROR)
    need_rich()
    from exporter.fleet.live import Watcher, watch
    from exporter.fleet.model import Snapshot, SourceError
    from exporter.fleet.tables import console_for

    how = _prepared(options, options.columns)
    console = console_for()
    fetch = Watcher[Snapshot](lambda: options.source.fetch(service), SourceError, interval)
    view = _LiveView(options, how, service, interval)

    def draw(seen: "Seen[Snapshot]") -> "RenderableType":
        return view.draw(seen, console.height if console.is_terminal else None)

    if watch(console, fetch, draw, rounds):
        return  # somebody ended it: that is no finding
    if fetch.seen.fault:
        sys.exit(UNREACHABLE)
    _end([] if fetch.seen.last is None else [row.status for row in _rows(options, fetch.seen.last, how)])


class _LiveView(NamedTuple):
    """What the live view draws."""

    options: FleetOptions
    how: Arranged
    service: str
    interval: float

    def draw(self, seen: "Seen[Snapshot]", height: int | None) -> "RenderableType":
        """Return the view for a window so many lines high; of all rows without one."""
        from rich.console import Group
        from rich.text import Text

        from exporter.fleet.columns import plain
        from exporter.fleet.tables import STYLES, table_of

        def line(text: str, style: str) -> Text:
            return Text(text, style, no_wrap=True, overflow="ellipsis")

        if seen.last is None:
            asked = f"{self.options.source.name}: asking ..."
            return line(plain(seen.fault), STYLES["bad"]) if seen.fault else line(asked, STYLES["quiet"])
        rows = _rows(self.options, seen.last, self.how)
        words = _sum([row.status for row in rows], f"instances of {plain(self.service)}")
        lines: list[RenderableType] = [line(f"{_clock(seen.at)}  {words}", "bold")]
        if seen.fault:
            old = f"This is what it was at {_clock(seen.at)}; asking again every {self.interval:g} s. "
            lines.append(line(old + plain(seen.fault), STYLES["bad"]))
        # two more: the headings, and what tells of rows that do not fit
        fits = len(rows) if height is None else max(1, height - len(lines) - 2)
        if self.options.table.limit is not None:
            fits = min(fits, self.options.table.limit)
        lines.append(table_of(rows[:fits], self.options.columns))
        if fits < len(rows):
            lines.append(line(f"{len(rows) - fits} more", STYLES["quiet"]))
        return Group(*lines)


def _prepared(options: FleetOptions, columns: "Sequence[Column[Any]]", *, labels: bool = True) -> Arranged:
    """Check all that can be wrong with a call before anybody is asked."""
    if not options.table.as_json:
        need_rich()
    return arrangement(options.table, columns, labels=labels and options.key == "host")


def _fetch(options: FleetOptions) -> "Snapshot":
    return fetched(lambda progress: options.source.fetch(progress=progress), options.source.name)


def _rows(options: FleetOptions, snapshot: "Snapshot", how: Arranged) -> "list[Row]":
    return arranged(snapshot.rows, options.columns, how, lambda row: row.labels)


def _head(options: FleetOptions, snapshot: "Snapshot", statuses: "Sequence[Status]") -> dict[str, Any]:
    from exporter.fleet.model import count_by_status
    from exporter.fleet.moments import rfc3339

    counts = {status.value: count for status, count in count_by_status(statuses).items()}
    return {
        "source": options.source.name,
        "at": rfc3339(snapshot.at),
        "counts": counts,
        "left_out": snapshot.left_out,
        "faults": list(snapshot.faults),
    }


def _draw(rows: "Sequence[Any]", columns: "Sequence[Column[Any]]", below: Iterable[str], snapshot: "Snapshot") -> None:
    from exporter.fleet.columns import used

    left = f"{snapshot.left_out} more were left out (--max-instances)."
    notes = [(left, "unsure")] if snapshot.left_out else []
    draw(rows, used(columns, rows), below, [*notes, *((fault, "bad") for fault in snapshot.faults)])


def _tell_strays(strays: "Sequence[Row]") -> None:
    """Tell of instances whose service is not known, and why."""
    if not strays:
        return
    from exporter.fleet.columns import plain
    from exporter.fleet.tables import console_for, say

    console = console_for()
    say(console, f"{len(strays)} instances told nothing, not even their service:", "unsure")
    for row in strays[:20]:
        say(console, f"  {plain(row.name)}  {plain(row.reason)}")
    if len(strays) > 20:
        say(console, f"  and {len(strays) - 20} more, see summary")


def _sum(statuses: "Sequence[Status]", of: str) -> str:
    from exporter.fleet.model import count_by_status

    counts = ", ".join(f"{count} {status.value}" for status, count in count_by_status(statuses).items() if count)
    return f"{len(statuses)} {of}: {counts}." if statuses else f"No {of}."


def _clock(at: float) -> str:
    from exporter.fleet.moments import local_words

    return local_words(at).rpartition(" ")[2]


def _end(statuses: "Iterable[Status]") -> None:
    from exporter.fleet.views import all_healthy

    if not all_healthy(statuses):
        sys.exit(UNHEALTHY)
