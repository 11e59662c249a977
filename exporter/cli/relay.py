"""`hostwatch relay`: the daemon, and what people ask of it."""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from exporter.cli.common import FILE, LOG_FORMATS, USAGE_ERROR, check_address, duration, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


# as many as a row of SQLite's can have: exporter.relay.letters.MAX_ID
_IDS = click.argument("ids", metavar="[ID]...", type=click.IntRange(1, 2**63 - 1), nargs=-1)
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
        click.echo(f"{one['id']:>6}  {_line(one)}")


def _line(letter: "Mapping[str, Any]") -> str:
    """Return what is known of a dead letter, fit for a terminal."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(letter["received"]))
    detail = "".join(char if char.isprintable() else "?" for char in letter["detail"])
    return f"{when} UTC  {letter['reason']:9}  {letter['body_bytes']:>8} B  {detail}"


@relay.command()
@_RELAY_CONFIG
@click.option("--all", "everything", is_flag=True, help="All of them, oldest first.")
@_IDS
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
    _check_chosen(ids, everything=everything)
    from exporter.relay import commands

    done = _asked(lambda: commands.replay(_relay_settings(context, config), ids, everything=everything))
    for letter, error in done:
        click.echo(f"{letter:>6}  {error or 'back in the queue'}")
    sys.exit(1 if any(error for _, error in done) else 0)


@relay.command()
@_RELAY_CONFIG
@click.option("--all", "everything", is_flag=True, help="All of them, oldest first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Write each with its whole body, one JSON object a line.")
@_IDS
@click.pass_context
def discard(
    context: click.Context, config: Path | None, ids: tuple[int, ...], *, everything: bool, yes: bool, as_json: bool
) -> None:
    """Forget dead letters that nobody will ever read, once what matters of them is told.

    Asks before, unless --yes; where there is no terminal to ask at, it wants --yes. With --json a letter is written
    before it is forgotten, and one that cannot be written stays.

    \b
    Exit code 0: all are gone. 1: some were not there, or stayed.

    \b
    Examples:
      hostwatch relay discard --config /etc/hostwatch/relay.yml 17 18
      hostwatch relay discard --config /etc/hostwatch/relay.yml --all --yes --json > letters.json
    """
    _check_chosen(ids, everything=everything)
    if not yes and not _is_terminal():
        fail("nobody to ask: --yes says that it is wanted", USAGE_ERROR)
    settings = _relay_settings(context, config)
    from exporter.relay import commands

    unwanted = _asked(lambda: commands.numbers(settings)) if everything else ids
    if not unwanted:
        click.echo("No dead letters.", err=as_json)
        return
    if not yes:
        _agree(len(set(unwanted)), as_json=as_json)
    missing = False
    done = commands.discard(settings, unwanted, _write if as_json else None)
    while (one := _asked(lambda: next(done, None))) is not None:
        letter, known = one
        missing |= known is None
        if known is None or not as_json:
            text = "no such dead letter" if known is None else f"discarded  {_line(known)}"
            click.echo(f"{letter:>6}  {text}", err=as_json)
    sys.exit(1 if missing else 0)


def _check_chosen(ids: tuple[int, ...], *, everything: bool) -> None:
    if everything == bool(ids):
        fail("expected either numbers, as `hostwatch relay dead-letters` lists them, or --all", USAGE_ERROR)


def _is_terminal() -> bool:
    """Say whether there is somebody to ask."""
    return sys.stdin.isatty()


def _agree(number: int, *, as_json: bool) -> None:
    """Ask whether so many letters are to be forgotten; end with 1 unless they are."""
    left = "Only what --json writes" if as_json else "Nothing"
    what = (
        f"Discard {number} dead letter{'s' if number > 1 else ''}? {left} is left of {'them' if number > 1 else 'it'}."
    )
    if not click.confirm(what, err=True):
        fail("nothing was discarded", 1)


def _write(letter: "Mapping[str, Any]") -> None:
    """Write a letter as one line, and see it through to whoever reads it; end with 1 where that fails."""
    try:
        sys.stdout.write(json.dumps(letter) + "\n")
        sys.stdout.flush()
    except OSError as err:
        # what Python still holds would fail once more at its end (docs.python.org, signal, note on SIGPIPE)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f"standard output: {err.strerror}; what was not written is still there", 1)


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
