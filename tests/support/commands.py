"""docs/cli.md: every command with its help, as the command line prints it."""

from collections.abc import Iterator

import click

from exporter.cli import main

_HEAD = """\
# The command line

Written by `make golden` from the commands themselves: `hostwatch COMMAND --help` says the same. Options have precedence
over settings files. Exit code 2 is a call or a file that cannot be used (of `hostwatch drill` 3); what else they mean
stands with each command. Commands and options are completed by the shell after `hostwatch completion bash` (zsh, fish).
"""


def page() -> str:
    """Return docs/cli.md."""
    return _HEAD + "".join(_section(context) for context in _contexts(main, "hostwatch"))


def _contexts(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield a command and all below it, in the order of their groups, each as it is called."""
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
    context.max_content_width = 100
    context.terminal_width = 100
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            if not found.hidden:
                yield from _contexts(found, below, context)


def _section(context: click.Context) -> str:
    with context.scope():
        text = context.command.get_help(context)
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"\n## {context.command_path}\n\n```\n{lines}\n```\n"
