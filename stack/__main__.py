"""`python -m stack` runs the stack until Ctrl-C; `down` ends one from another terminal, `logs` shows what it says."""

import os
import sys
from typing import NoReturn

import click

from stack import docker
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
@click.argument("what", type=click.Choice(["up", "down", "logs"]), default="up")
def main(what: str) -> None:
    r"""Run the stack on this machine until Ctrl-C, end one that runs, or show its logs.

    \b
    With Docker, where an engine answers, it is docker-compose.yml; without one exporter, relay, Prometheus and
    Alertmanager run as processes.

    \b
    STACK               native or docker: whatever answers
    EXPORTER_PORT, RELAY_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT   where they listen
    HOSTWATCH_STATE     folder for data, logs and generated files  [default: .local]
    HOSTWATCH_CONFIGS   folder with prometheus/ and alertmanager/  [default: this repository]
    """
    try:
        settings = read_settings()
        sys.exit({"up": _up, "down": _down, "logs": _logs}[what](settings))
    except StackError as err:
        click.echo(str(err), err=True)
        sys.exit(1)


def _up(settings: Settings) -> int:
    why = docker.choose()
    if not why:
        try:
            return docker.run(Signals())
        except docker.ImagesError as err:
            if os.environ.get("STACK") == "docker":
                raise
            say(f"\n{err}.\nGoing on without Docker; STACK=native does so at once.")
            why = "Docker's images cannot be had here"
    return _run_native(settings, why)


def _run_native(settings: Settings, why: str) -> int:
    lock = Lock(settings.state)
    check_ports(settings)
    programs = find_programs()
    write_configs(settings)
    code = Stack(settings, make_parts(settings, programs), Signals(), why).run()
    lock.release()
    return code


def _down(settings: Settings) -> int:
    stopped = down(settings.state)
    if docker.down() or stopped:
        say("Stopped.")
    else:
        say(f"No stack runs from {settings.state}, nor with Docker.")
    return 0


def _logs(settings: Settings) -> NoReturn:
    """Show what the parts said last and go on, until Ctrl-C. Does not return."""
    if not docker.choose():
        os.execvp("docker", [*docker.COMPOSE, "--profile", "*", "logs", "--follow", "--tail=50"])
    files = sorted(map(str, (settings.state / "logs").glob("*.log")))
    if not files:
        raise StackError(f"no logs in {settings.state / 'logs'}: nothing has run from there")
    os.execvp("tail", ["tail", "--lines=20", "--follow=name", "--retry", *files])


if __name__ == "__main__":
    main(prog_name="python -m stack")
