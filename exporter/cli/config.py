"""`hostwatch config`: settings files, checked and described."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.cli.common import FILE, USAGE_ERROR, fail

if TYPE_CHECKING:
    import msgspec

_KINDS = ["exporter", "relay", "web"]


@click.group()
def config() -> None:
    """Check settings files and describe them."""


@config.command()
@click.argument("file", type=FILE)
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
        fail(str(err), USAGE_ERROR)
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
