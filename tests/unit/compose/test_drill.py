"""The drill service: the command with this stack's places, and the user's words last."""

import click.testing

from compose.drill import command
from exporter.cli import main


def test_places_are_options_that_the_command_has_and_the_user_wins() -> None:
    whole = command(["--state=/tmp/x", "run", "service-stopped"], "10.0.0.9")
    assert whole[:2] == ["hostwatch", "drill"]
    assert whole[-3:] == ["--state=/tmp/x", "run", "service-stopped"]
    assert "--address=10.0.0.9" in whole
    done = click.testing.CliRunner().invoke(main, [*command(["list"], "10.0.0.9")[1:]])
    assert done.exit_code == 0, done.output
    assert "service-stopped" in done.output
