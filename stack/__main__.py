"""`python -m stack` runs the stack until Ctrl-C, `python -m stack down` ends one from another terminal."""

import sys

import click

from stack.configs import write_configs
from stack.failures import StackError
from stack.lock import Lock, down
from stack.native import Stack, say
from stack.packages import find_programs
from stack.parts import make_parts
from stack.ports import check_ports
from stack.settings import Settings, read_settings
from stack.signals import Signals


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", type=click.Choice(["up", "down"]), default="up")
def main(what: str) -> None:
    r"""Run exporter, relay, Prometheus and Alertmanager on this machine, or end those that run.

    \b
    EXPORTER_PORT, RELAY_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT   where they listen
    HOSTWATCH_STATE     folder for data, logs and generated files  [default: .local]
    HOSTWATCH_CONFIGS   folder with prometheus/ and alertmanager/  [default: this repository]
    """
    try:
        settings = read_settings()
        sys.exit(_up(settings) if what == "up" else _down(settings))
    except StackError as err:
        click.echo(str(err), err=True)
        sys.exit(1)


def _up(settings: Settings) -> int:
    lock = Lock(settings.state)
    check_ports(settings)
    programs = find_programs()
    write_configs(settings)
    code = Stack(settings, make_parts(settings, programs), Signals()).run()
    lock.release()
    return code


def _down(settings: Settings) -> int:
    say("Stopped." if down(settings.state) else f"No stack runs from {settings.state}.")
    return 0


if __name__ == "__main__":
    main(prog_name="python -m stack")
