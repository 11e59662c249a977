"""`hostwatch serve`: the exporter."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from exporter.cli.common import FILE, LOG_FORMATS, USAGE_ERROR, check_address, fail


@click.command()
@click.option("--config", type=FILE, help="Settings file (YAML); without one the defaults hold.")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to listen  [default: 127.0.0.1:10101].")
@click.option("--path.procfs", "procfs", metavar="DIR", help="The machine's /proc, where it is elsewhere.")
@click.option("--path.sysfs", "sysfs", metavar="DIR", help="The machine's /sys.")
@click.option("--path.rootfs", "rootfs", metavar="DIR", help="The machine's root file system.")
@click.option("--path.udev.data", "udev_data", metavar="DIR", help="The machine's /run/udev/data.")
@click.option("--web-config", "--web.config.file", type=FILE, help="TLS and passwords, as Prometheus' exporters do.")
@click.option("--log-format", type=LOG_FORMATS, help="Logs for programs or for people  [default: json].")
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
        import_without("asyncio", "ssl")  # saves 4 MB where nothing needs TLS
    import_without("msgspec", "typing_extensions")  # saves 0.3 MB: typing has what it wants of that
    from exporter import daemon
    from exporter.server.listener import ListenError
    from exporter.settings import SettingsError, parse_address

    if listen is not None:
        check_address(listen, parse_address)
    try:
        given = {"listen": listen, "log.format": log_format, **{f"paths.{key}": value for key, value in paths.items()}}
        if explain_cardinality:
            click.echo(daemon.explain_cardinality(config, given))
        else:
            daemon.run(config, given, web_config)
    except SettingsError as err:
        fail(str(err), USAGE_ERROR)
    except ListenError as err:
        fail(str(err), 1)
    leave()


def import_without(module: str, part: str) -> None:
    """Import a module as it comes up where a part that it can do without is not installed; others may import that."""
    if module in sys.modules or part in sys.modules:
        return
    sys.modules[part] = None  # type: ignore[assignment]
    import_module(module)
    del sys.modules[part]


def leave() -> NoReturn:
    """End at once: the interpreter's own end would wait for nothing of ours, but takes time to tidy up memory."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
