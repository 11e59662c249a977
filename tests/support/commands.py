"""docs/cli.md: every command with its help, as the command line prints it."""

from collections.abc import Iterator

import click

from exporter.cli import main

_HEAD = """\
# The command line

Written by `make golden` from the commands themselves: `hostwatch COMMAND --help` says the same. Options have precedence
over settings files. Exit code 2 is a call or a file that cannot be used; what else they mean stands with each command.
Commands and options are completed by the shell after `hostwatch completion bash` (zsh, fish).
"""


def page() -> str:
    """Return docs/cli.md."""
    return _HEAD + "".join(_section(names, command) for names, command in commands(main, ("hostwatch",)))


def commands(command: click.Command, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all below it, in the order of their groups."""
    yield names, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            if not below.hidden:
                yield from commands(below, (*names, name))


def _section(names: tuple[str, ...], command: click.Command) -> str:
    context = None
    for name in names:
        whose = main if context is None else command
        context = click.Context(whose, parent=context, info_name=name, **whose.context_settings)
        context.max_content_width = 100
        context.terminal_width = 100
    assert context is not None
    with context.scope():
        text = command.get_help(context)
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"\n## {' '.join(names)}\n\n```\n{lines}\n```\n"
