"""The command line: one group, a command per part. Each imports what it needs when it runs."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from exporter import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

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
        _import_asyncio_without_ssl()
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


@main.command()
@click.option("--config", type=_FILE, help="Settings file (YAML).")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to listen  [default: 127.0.0.1:10102].")
@click.option("--token-file", metavar="FILE", help="Holds the bearer token that Alertmanager sends.")
@click.option("--database", metavar="FILE", help="The queue on disk  [default: /var/lib/hostwatch/relay.db].")
@click.option("--log-format", type=_FORMATS, help="Logs for programs or for people  [default: json].")
def relay(
    config: Path | None, listen: str | None, token_file: str | None, database: str | None, log_format: str | None
) -> None:
    """Take Alertmanager's webhooks and show what would go to Slack.

    \b
    Every alert is on disk before Alertmanager gets its answer. SIGTERM ends within 2 seconds.

    \b
    Examples:
      hostwatch relay --token-file /etc/hostwatch/relay-token
      hostwatch relay --config /etc/hostwatch/relay.yml
    """
    from exporter.settings import SettingsError, load, override, parse_address

    try:
        from exporter.relay import daemon
        from exporter.relay.settings import Relay
    except ModuleNotFoundError as err:
        _fail(f"the relay needs {err.name}: pip install 'hostwatch[relay]'", 1)
    if listen is not None:
        _check_address(listen, parse_address)
    try:
        settings = Relay() if config is None else load(config, Relay)
        given = {"listen": listen, "token_file": token_file, "database": database, "log.format": log_format}
        code = daemon.run(override(settings, given))
    except SettingsError as err:
        _fail(str(err), USAGE_ERROR)
    sys.exit(code)


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


def _import_asyncio_without_ssl() -> None:
    """Import asyncio as it comes up on a Python without ssl: saves 4 MB where nothing needs TLS."""
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio  # noqa: F401

    del sys.modules["ssl"]


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
