"""The command line: one group, a command per part. Each imports what it needs when it runs."""

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

from exporter import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from exporter.relay.settings import Relay

T = TypeVar("T")

_FILE = click.Path(path_type=Path, dir_okay=False)
_KINDS = ["exporter", "relay", "web"]
_FORMATS = click.Choice(["json", "text"])

USAGE_ERROR = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hostwatch")
def main() -> None:
    """Host monitoring for teams that live in Prometheus and Slack."""


@main.command()
@click.option("--config", type=_FILE, help="Settings file (YAML); without one the defaults hold.")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to listen  [default: 127.0.0.1:10101].")
@click.option("--path.procfs", "procfs", metavar="DIR", help="The machine's /proc, where it is elsewhere.")
@click.option("--path.sysfs", "sysfs", metavar="DIR", help="The machine's /sys.")
@click.option("--path.rootfs", "rootfs", metavar="DIR", help="The machine's root file system.")
@click.option("--path.udev.data", "udev_data", metavar="DIR", help="The machine's /run/udev/data.")
@click.option("--web-config", "--web.config.file", type=_FILE, help="TLS and passwords, as Prometheus' exporters do.")
@click.option("--log-format", type=_FORMATS, help="Logs for programs or for people  [default: json].")
@click.option("--explain-cardinality", is_flag=True, help="Print how many series each family has here, and end.")
def serve(
    config: Path | None,
    listen: str | None,
    web_config: Path | None,
    log_format: str | None,
    *,
    explain_cardinality: bool,
    **paths: str | None,
) -> None:
    """Expose this machine's metrics on /metrics.

    \b
    SIGHUP reads the settings file again, SIGTERM ends within 2 seconds.

    \b
    Examples:
      hostwatch serve
      hostwatch serve --config /etc/hostwatch/exporter.yml
      hostwatch serve --listen '[::]:10101' --log-format text
      hostwatch serve --path.procfs /host/proc --path.sysfs /host/sys --path.rootfs /host
      hostwatch serve --listen :10101 --web-config /etc/hostwatch/web.yml
    """
    if web_config is None:
        _import_without("asyncio", "ssl")  # saves 4 MB where nothing needs TLS
    _import_without("msgspec", "typing_extensions")  # saves 0.3 MB: typing has what it wants of that
    from exporter import daemon
    from exporter.server.listener import ListenError
    from exporter.settings import SettingsError, parse_address

    if listen is not None:
        _check_address(listen, parse_address)
    try:
        given = {"listen": listen, "log.format": log_format, **{f"paths.{key}": value for key, value in paths.items()}}
        if explain_cardinality:
            click.echo(daemon.explain_cardinality(config, given))
        else:
            daemon.run(config, given, web_config)
    except SettingsError as err:
        _fail(str(err), USAGE_ERROR)
    except ListenError as err:
        _fail(str(err), 1)
    _leave()


@main.group(invoke_without_command=True)
@click.option("--config", type=_FILE, help="Settings file (YAML).")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to listen  [default: 127.0.0.1:10102].")
@click.option("--token-file", metavar="FILE", help="Holds the bearer token that Alertmanager sends.")
@click.option("--slack-token-file", metavar="FILE", help="Holds the bot token, where there is no Vault.")
@click.option("--database", metavar="FILE", help="The queue on disk  [default: /var/lib/hostwatch/relay.db].")
@click.option("--log-format", type=_FORMATS, help="Logs for programs or for people  [default: json].")
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


_RELAY_CONFIG = click.option("--config", type=_FILE, help="The relay's settings file (YAML).")


@relay.command()
@_RELAY_CONFIG
@click.option("--receiver", default="relay", show_default=True, help="Alertmanager's receiver, for the channel.")
@click.option("--timeout", type=click.FloatRange(min=1), default=30, show_default=True, help="Seconds for each step.")
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
        _fail("expected either numbers, as `hostwatch relay dead-letters` lists them, or --all", USAGE_ERROR)
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
        _fail(str(err), err.code)
    except (AnswerError, NotRunningError) as err:
        _fail(str(err), 1)


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
        _fail(f"the relay needs {err.name}: pip install 'hostwatch[relay]'", 1)
    above, given = context.obj
    if given["listen"] is not None:
        _check_address(given["listen"], parse_address)
    names = {"slack_token_file": "slack.token_file", "log_format": "log.format"}
    try:
        settings = Relay() if (config or above) is None else load(config or above, Relay)
        return override(settings, {names.get(key, key): value for key, value in given.items()})
    except SettingsError as err:
        _fail(str(err), USAGE_ERROR)


@main.group()
def config() -> None:
    """Check settings files and describe them."""


@config.command()
@click.argument("file", type=_FILE)
@click.option("--kind", type=click.Choice(_KINDS), help="Whose settings  [default: by the file's name].")
def check(file: Path, kind: str | None) -> None:
    """Say whether FILE can be used; exit code 2 and every place that is wrong if not.

    \b
    Examples:
      hostwatch config check /etc/hostwatch/exporter.yml
      hostwatch config check --kind relay my-settings.yml
      hostwatch config check /etc/hostwatch/web.yml
    """
    from exporter.settings import SettingsError, load

    kind = kind or next((kind for kind in _KINDS if kind in file.name), "exporter")
    try:
        if kind == "web":
            from exporter.server.locks import Locks

            Locks(file)  # the files that it names too
        else:
            load(file, _settings_type(kind))
    except SettingsError as err:
        _fail(str(err), USAGE_ERROR)
    click.echo(f"{file}: good settings for {kind}")


@config.command()
@click.option("--kind", type=click.Choice(_KINDS), default="exporter", show_default=True)
def schema(kind: str) -> None:
    """Print the JSON Schema of a settings file.

    \b
    Example, for editors that read the first line of a YAML file:
      hostwatch config schema > exporter.schema.json
      # yaml-language-server: $schema=exporter.schema.json
    """
    from exporter.settings import schema as schema_of

    click.echo(json.dumps(schema_of(_settings_type(kind)), indent=2))


def _settings_type(kind: str) -> type["msgspec.Struct"]:
    if kind == "relay":
        from exporter.relay.settings import Relay

        return Relay
    if kind == "web":
        from exporter.server.web_config import WebConfig

        return WebConfig
    from exporter.settings.exporter import Exporter

    return Exporter


def _import_without(module: str, part: str) -> None:
    """Import a module as it comes up where a part that it can do without is not installed; others may import that."""
    if module in sys.modules or part in sys.modules:
        return
    sys.modules[part] = None  # type: ignore[assignment]
    import_module(module)
    del sys.modules[part]


def _check_address(text: str, parse: "Callable[[str], object]") -> None:
    try:
        parse(text)
    except ValueError as err:
        _fail(f"--listen: {err}", USAGE_ERROR)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(code)


def _leave() -> NoReturn:
    """End at once: the interpreter's own end would wait for nothing of ours, but takes time to tidy up memory."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
