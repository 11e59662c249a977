"""The command line: one group, a command per part. Each part's module is imported when its command is asked for."""

from importlib import import_module

import click

from exporter import __version__

# each is a module of this package that has a command of the same name; in the order of `--help`
COMMANDS = ("serve", "relay", "drill", "fleet", "containers", "doctor", "config", "completion")


class Parts(click.Group):
    """A group that imports a command no sooner than it is wanted: `serve` pays for nothing of the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click asks with it
        """Return the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- as above
        """Return the command of that name, None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"exporter.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=Parts, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hostwatch")
def main() -> None:
    """Host monitoring for teams that live in Prometheus and Slack."""
