"""`hostwatch fleet`: hosts of Prometheus, or instances of a services API, in the views that their users know."""

from collections.abc import Callable
from typing import Any, Final

import click

from exporter.cli.common import USAGE_ERROR, duration, fail
from exporter.cli.fleet_views import FleetOptions, show_health, show_stats, show_summary, show_watch
from exporter.cli.prometheus_options import prometheus_options, ratio, table_options

_CLASSIC: Final = ""


_DURATION: Final[dict[str, Any]] = {"metavar": "DURATION", "callback": duration, "show_default": True}
_RATIO: Final[dict[str, Any]] = {"metavar": "RATIO", "callback": ratio, "show_default": True}
_OPTIONS: Final = (
    prometheus_options,
    click.option("--job", default="node", show_default=True, help="Prometheus' job whose targets are the hosts."),
    click.option("--by", metavar="LABEL", default="role", show_default=True,
                 help="The target label that makes services of hosts; job where a host lacks it."),
    click.option("--cpu-threshold", default="75%", help="Unhealthy from here on.", **_RATIO),
    click.option("--memory-threshold", default="75%", help="Unhealthy from here on.", **_RATIO),
    click.option("--disk-threshold", default="90%", help="Unhealthy from here on (hosts).", **_RATIO),
    click.option("--deadline", default="1m", help="For all requests to a services API.", **_DURATION),
    click.option("--max-instances", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True,
                 help="More of a services API are left out, and counted."),
    table_options("the columns' names in small letters"),
)  # fmt: skip


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all views share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_HEALTHY_INSTANCES = click.option(
    "--healthy-instances", "--healthyInstances", "-hi", metavar="N", type=click.IntRange(min=0), default=2,
    show_default=True, help="A service with fewer healthy instances is unhealthy.",
)  # fmt: skip
_INTERVAL = click.option(
    "--interval", metavar="DURATION", callback=duration, default="5s", show_default=True, help="The live view's."
)
_ROUNDS = click.option(
    "--rounds", type=click.IntRange(min=1), help="End the live view after so many  [default: Ctrl-C]."
)
_SERVER = click.argument("server", required=False)


class _Classic(click.Command):
    """The command as its users know it, `fleet SERVER --summary`: it has no name of its own."""

    class _Context(click.Context):
        @property
        def command_path(self) -> str:
            return "" if self.parent is None else self.parent.command_path

    context_class = _Context


class Fleet(click.Group):
    """A group whose first argument is a server where it is no subcommand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Hand all that begins with no subcommand to the classic command."""
        first, second = (*args[:2], "", "")[:2]
        if first in {"-h", "--help"}:
            return super().parse_args(ctx, args)
        if first not in self.commands:
            if second in self.commands and not first.startswith("-"):
                ctx.obj, args = first, args[1:]
            else:
                args = [_CLASSIC, *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name; the classic one has none."""
        return _classic if cmd_name == _CLASSIC else super().get_command(ctx, cmd_name)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the classic command's options, then the subcommands."""
        click.Command.format_options(_classic, ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=Fleet, subcommand_metavar="[SERVER] [OPTIONS] | COMMAND [ARGS]...")
def fleet() -> None:
    """Show a fleet: hosts that Prometheus knows, or instances of a services API (SERVER, such as api:80).

    Exit codes: 0 all healthy, 1 something is unhealthy or unknown, 2 wrong call, 3 the source cannot
    be reached.

    \b
    Examples:
      hostwatch fleet                                    # hosts of the Prometheus on this machine
      hostwatch fleet --by environment --healthCheck --prometheus http://prometheus:9090
      hostwatch fleet api:80 --summary --sort -cpu --limit 20
      hostwatch fleet api:80 -ss UserService
      hostwatch fleet api:80 -hc -hi 3
      hostwatch fleet api:80 -ms UserService
      hostwatch fleet health api:80 --json
    """


@click.command(_CLASSIC, cls=_Classic)
@_SERVER
@click.option("--summary", "-s", is_flag=True, help="Every instance or host; this is what you get without a view.")
@click.option("--service-stats", "--serviceStats", "-ss", metavar="S", help="Averages and status of service S.")
@click.option("--health-check", "--healthCheck", "-hc", is_flag=True, help="Each service, healthy or unhealthy.")
@_HEALTHY_INSTANCES
@click.option("--monitor-service", "--monitorService", "-ms", metavar="S", help="Service S, live, until Ctrl-C.")
@_INTERVAL
@_ROUNDS
@_options
def _classic(server: str | None, **given: Any) -> None:  # noqa: ANN401 -- as click gives them
    """Show a fleet.

    \b
    Example: hostwatch fleet api:80 --summary
    """
    summary, stats, check, monitor = (
        given.pop(name) for name in ("summary", "service_stats", "health_check", "monitor_service")
    )
    if sum((summary, stats is not None, check, monitor is not None)) > 1:
        fail("expected one of --summary, --serviceStats, --healthCheck and --monitorService", USAGE_ERROR)
    interval, rounds = given.pop("interval"), given.pop("rounds")
    options = FleetOptions.of(server, **given)
    if monitor is not None:
        show_watch(options, monitor, interval, rounds)
    elif stats is not None:
        show_stats(options, stats)
    elif check:
        show_health(options)
    else:
        show_summary(options)


@fleet.command()
@_SERVER
@_HEALTHY_INSTANCES
@_options
@click.pass_context
def summary(ctx: click.Context, /, server: str | None, **given: Any) -> None:  # noqa: ANN401
    """Show every instance or host: where, which service, CPU, memory, status.

    \b
    Examples:
      hostwatch fleet summary --filter environment=production --sort -cpu
      hostwatch fleet summary api:80 --json
    """
    show_summary(FleetOptions.of(server or ctx.obj, **given))


@fleet.command()
@click.argument("service")
@_SERVER
@_HEALTHY_INSTANCES
@_options
@click.pass_context
def stats(ctx: click.Context, /, service: str, server: str | None, **given: Any) -> None:  # noqa: ANN401
    """Show the averages, the status and the number of instances of SERVICE.

    \b
    Examples:
      hostwatch fleet stats UserService api:80
      hostwatch fleet stats database              # hosts whose role is database
    """
    show_stats(FleetOptions.of(server or ctx.obj, **given), service)


@fleet.command()
@_SERVER
@_HEALTHY_INSTANCES
@_options
@click.pass_context
def health(ctx: click.Context, /, server: str | None, **given: Any) -> None:  # noqa: ANN401
    """Show each service: unhealthy when fewer than N of its instances are healthy.

    \b
    Examples:
      hostwatch fleet health api:80 --healthy-instances 3
      hostwatch fleet health --by environment
    """
    show_health(FleetOptions.of(server or ctx.obj, **given))


@fleet.command()
@click.argument("service")
@_SERVER
@_INTERVAL
@_ROUNDS
@_HEALTHY_INSTANCES
@_options
@click.pass_context
def watch(ctx: click.Context, /, service: str, server: str | None, **given: Any) -> None:  # noqa: ANN401
    """Show all instances of SERVICE, redrawn in place until Ctrl-C.

    \b
    Examples:
      hostwatch fleet watch UserService api:80
      hostwatch fleet watch database --interval 15s --sort -memory
    """
    interval, rounds = given.pop("interval"), given.pop("rounds")
    show_watch(FleetOptions.of(server or ctx.obj, **given), service, interval, rounds)
