"""`hostwatch completion`: what lets a shell complete commands and options."""

import click

from exporter.cli.common import USAGE_ERROR, fail

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands and options of hostwatch in a shell.

    \b
    Examples:
      hostwatch completion bash > /etc/bash_completion.d/hostwatch
      hostwatch completion zsh > ~/.zfunc/_hostwatch     (with ~/.zfunc in fpath)
      hostwatch completion fish > ~/.config/fish/completions/hostwatch.fish
    """
    from click.shell_completion import get_completion_class

    from exporter.cli import main

    kind = get_completion_class(shell)
    if kind is None:
        fail(f"no completion for {shell}", USAGE_ERROR)
    # its own source() would ask the bash of this machine how old it is, and the script is for any
    click.echo(kind.source_template % kind(main, {}, "hostwatch", "_HOSTWATCH_COMPLETE").source_vars())
