"""What opens a server with locks, the same for every command: the first line of a file, and never a traceback."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.cli import main
from exporter.cli.common import MAX_PASSWORD, access_of

COMMANDS = {
    "fleet": ("fleet", "--username", "me", "--password-file"),
    "containers": ("containers", "--username", "me", "--password-file"),
    "doctor": ("doctor", "--username", "me", "--password-file"),
    "Grafana": ("doctor", "--grafana-password-file"),
}
UNUSABLE = {
    "too long": (b"x" * (MAX_PASSWORD + 1), f"expected {MAX_PASSWORD} bytes at most"),
    "empty": (b"", "expected a password in its first line"),
    "blank first line": (b" \nsecret\n", "expected a password in its first line"),
    "no text": (b"\xffhunter2", "expected text in UTF-8"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("content", "why"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_password_file_that_will_not_do_is_a_usage_error(
    tmp_path: Path, command: tuple[str, ...], content: bytes, why: str
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    done = CliRunner().invoke(main, [*command, str(file)])
    assert (done.exit_code, done.output) == (2, f"{command[-1]}: {file}: {why}\n")


@pytest.mark.parametrize("content", ["secret", "secret\n", " secret\t\r\nthe second line is a note\n"])
def test_the_first_line_is_the_password(tmp_path: Path, content: str) -> None:
    file = tmp_path / "password"
    file.write_text(content, newline="")
    password = access_of("me", file, None).password
    assert password is not None
    assert password.reveal() == "secret"
