"""`hostwatch relay`: the daemon, and what people ask of it."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from exporter.cli.common import FILE, LOG_FORMATS, USAGE_ERROR, check_address, duration, fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.relay.settings import Relay

T = TypeVar("T")


@click.group(invoke_without_command=True)
@click.option("--config", type=FILE, help="Settings file (YAML).")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to listen  [default: 127.0.0.1:10102].")
@click.option("--token-file", metavar="FILE", help="Holds the bearer token that Alertmanager sends.")
@click.option("--slack-token-file", metavar="FILE", help="Holds the bot token, where there is no Vault.")
@click.option("--database", metavar="FILE", help="The queue on disk  [default: /var/lib/hostwatch/relay.db].")
@click.option("--log-format", type=LOG_FORMATS, help="Logs for programs or for people  [default: json].")
@click.pass_context
def relay(context: click.Context, /, config: Path | None, **given: str | None) -> None:
    """Take Alertmanager's webhooks and bring them to Slack; without a token, show them.

    \b
    Every alert is on disk before Alertmanager gets its answer. SIGTERM ends within 2 seconds.

    \b
    Examples:
      hostwatch relay --config /etc/hostwatch/relay.yml
      hostwatch relay --token-file /etc/hostwatch/relay-token
      hostwatch relay --config /etc/hostwatch/relay.yml test
    """
    context.obj = (config, given)
    if context.invoked_subcommand is None:
        settings = _relay_settings(context)
        from exporter.relay import daemon

        sys.exit(daemon.run(settings))


_RELAY_CONFIG = click.option("--config", type=FILE, help="The relay's settings file (YAML).")


@relay.command()
@_RELAY_CONFIG
@click.option("--receiver", default="relay", show_default=True, help="Alertmanager's receiver, for the channel.")
@click.option(
    "--timeout", metavar="DURATION", callback=duration, default="30s", show_default=True, help="For each step."
)
@click.pass_context
def test(context: click.Context, config: Path | None, receiver: str, timeout: float) -> None:
    """Send one marked message all the way to Slack, and say what happened at each step.

    Through the relay that runs; where none does, through one of its own for as long as it takes. The message says
    that it is a test, and resolves by itself. Exit code 0: Slack shows it. 1: a step failed. 2: the settings cannot
    be used.

    \b
    Examples:
      hostwatch relay test --config /etc/hostwatch/relay.yml
      hostwatch relay test --config /etc/hostwatch/relay.yml --receiver database-team
    """
    began = time.monotonic()
    settings = _relay_settings(context, config)
    click.echo(f"{'ok':6}  {'settings':28}  {(time.monotonic() - began) * 1000:7.0f} ms")
    from exporter.relay.probe import Probe

    probe = Probe(settings, _relay_arguments(context, config), click.echo, receiver=receiver, seconds=timeout)
    sys.exit(probe.run())


@relay.command("dead-letters")
@_RELAY_CONFIG
@click.option("--json", "as_json", is_flag=True, help="For programs, with the bodies.")
@click.pass_context
def dead_letters(context: click.Context, config: Path | None, *, as_json: bool) -> None:
    """List what nobody could read or deliver.

    \b
    Examples:
      hostwatch relay dead-letters --config /etc/hostwatch/relay.yml
      hostwatch relay dead-letters --config /etc/hostwatch/relay.yml --json
    """
    from exporter.relay import commands

    found = _asked(lambda: commands.dead_letters(_relay_settings(context, config)))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("No dead letters.")
    for one in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one["received"]))
        detail = "".join(char if char.isprintable() else "?" for char in one["detail"])
        click.echo(f"{one['id']:>6}  {when} UTC  {one['reason']:9}  {one['body_bytes']:>8} B  {detail}")


@relay.command()
@_RELAY_CONFIG
@click.option("--all", "everything", is_flag=True, help="All of them, oldest first.")
@click.argument("ids", metavar="[ID]...", type=click.IntRange(min=1), nargs=-1)
@click.pass_context
def replay(context: click.Context, config: Path | None, ids: tuple[int, ...], *, everything: bool) -> None:
    """Give dead letters another try: what can be read or delivered now leaves the list.

    \b
    Exit code 0: all went back into the queue. 1: some stayed.

    \b
    Examples:
      hostwatch relay replay --config /etc/hostwatch/relay.yml 17 18
      hostwatch relay replay --config /etc/hostwatch/relay.yml --all
    """
    if everything == bool(ids):
        fail("expected either numbers, as `hostwatch relay dead-letters` lists them, or --all", USAGE_ERROR)
    from exporter.relay import commands

    done = _asked(lambda: commands.replay(_relay_settings(context, config), ids, everything=everything))
    for letter, error in done:
        click.echo(f"{letter:>6}  {error or 'back in the queue'}")
    sys.exit(1 if any(error for _, error in done) else 0)


def _asked(do: "Callable[[], T]") -> "T":
    """Return what a relay or its database gives; end with its error."""
    from exporter.relay.client import AnswerError, NotRunningError
    from exporter.relay.commands import CommandError

    try:
        return do()
    except CommandError as err:
        fail(str(err), err.code)
    except (AnswerError, NotRunningError) as err:
        fail(str(err), 1)


def _relay_arguments(context: click.Context, config: Path | None) -> list[str]:
    """Return the arguments that give `hostwatch relay` the same settings."""
    above, given = context.obj
    out = [] if (config or above) is None else ["--config", str(config or above)]
    for key in ("token_file", "slack_token_file"):
        if given[key] is not None:
            out += [f"--{key.replace('_', '-')}", given[key]]
    return out


def _relay_settings(context: click.Context, config: Path | None = None) -> "Relay":
    """Return the relay's settings, the command line's on top; end with 2 where they cannot be used."""
    from exporter.settings import SettingsError, load, override, parse_address

    try:
        from exporter.relay import daemon  # noqa: F401 -- all that it needs
        from exporter.relay.settings import Relay
    except ModuleNotFoundError as err:
        fail(f"the relay needs {err.name}: pip install 'hostwatch[relay]'", 1)
    above, given = context.obj
    if given["listen"] is not None:
        check_address(given["listen"], parse_address)
    names = {"slack_token_file": "slack.token_file", "log_format": "log.format"}
    try:
        settings = Relay() if (config or above) is None else load(config or above, Relay)
        return override(settings, {names.get(key, key): value for key, value in given.items()})
    except SettingsError as err:
        fail(str(err), USAGE_ERROR)
