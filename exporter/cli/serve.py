"""`hostwatch serve`: the exporter."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

import exporter
from exporter.cli.common import FILE, LOG_FORMATS, USAGE_ERROR, fail


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
    given = {"listen": listen, "log.format": log_format, **{f"paths.{key}": value for key, value in paths.items()}}
    if explain_cardinality:
        _explain(config, given)
    else:
        _become({**given, "config": config, "web-config": web_config})


def _explain(config: Path | None, given: dict[str, str | None]) -> None:
    from exporter import daemon
    from exporter.settings import SettingsError

    try:
        click.echo(daemon.explain_cardinality(config, given))
    except SettingsError as err:
        fail(str(err), USAGE_ERROR)


def _become(given: dict[str, object]) -> NoReturn:
    """Turn this process into the daemon: a new interpreter without click and what it imports, 1.3 MB less for good.

    The process ID stays, and with it what systemd and whoever else started us know of us.
    """
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    # a package in the working folder is taken only where this one comes from there
    safe = [] if Path(exporter.__file__).parents[1] == Path.cwd() else ["-P"]
    sys.stdout.flush()
    command = [sys.executable, *safe, "-m", "exporter.start", "serve", *words]
    os.execv(sys.executable, command)  # noqa: S606 -- ourselves
