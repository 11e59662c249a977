"""The command line: help everywhere, exit codes for scripts, never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from exporter import __version__, cli
from tests.support.exporter import ROOT


def run(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return exit code, standard output and standard error."""
    result = CliRunner().invoke(cli.main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def hostwatch(*arguments: str | bytes, stdout: int = subprocess.PIPE, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command for real."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        timeout=30,
        check=False,
        env={**os.environ, **env},
    )


def _sub(command: click.Group, name: str) -> click.Command:
    found = command.get_command(click.Context(command), name)
    assert found is not None
    return found


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found += _commands(_sub(command, name), (*path, name))
    return found


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("path", _commands(cli.main), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], option: str) -> None:
    code, out, err = run(*path, option)
    assert (code, err) == (0, "")
    assert out.startswith("Usage: ")
    assert all(len(line) <= 100 for line in out.splitlines())
    if path and not isinstance(_command(path), click.Group):
        assert "Example" in out


def _command(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli.main
    for name in path:
        assert isinstance(command, click.Group)
        command = _sub(command, name)
    return command


COMPLETED = {
    "commands": (("hostwatch", "rel"), "relay"),
    "commands below one": (("hostwatch", "relay", "dead"), "dead-letters"),
    "options": (("hostwatch", "serve", "--lis"), "--listen"),
    "values": (("hostwatch", "serve", "--log-format", "js"), "json"),
}


@pytest.mark.parametrize(("words", "expected"), COMPLETED.values(), ids=COMPLETED)
def test_bash_completes(words: tuple[str, ...], expected: str) -> None:
    """As bash does it: the printed script is read, and its function asks the command."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    command = Path(sys.executable).parent / "hostwatch"
    script = (
        f'eval "$({command} completion bash)"; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1};'
        f' _hostwatch_completion {command}; echo "${{COMPREPLY[*]}}"'
    )
    done = subprocess.run([bash, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == [expected]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert f"_HOSTWATCH_COMPLETE={shell}_complete" in out


def test_the_version_is_told() -> None:
    assert run("--version") == (0, f"hostwatch, version {__version__}\n", "")


BAD = {
    "unknown command": (("sevre",), "No such command 'sevre'"),
    "unknown option": (("serve", "--listne", "x"), "No such option"),
    "unknown format": (("serve", "--log-format", "xml"), "'xml' is not one of 'json', 'text'"),
    "argument too many": (("serve", "now"), "unexpected extra argument"),
    "check of nothing": (("config", "check"), "Missing argument 'FILE'"),
    "check of a missing file": (("config", "check", "/no/such.yml"), "/no/such.yml: cannot be read: No such file"),
    "unknown kind": (("config", "schema", "--kind", "x"), "'x' is not one of 'exporter', 'relay'"),
    "relay's address": (("relay", "--listen", "x"), "--listen: expected ADDRESS:PORT such as"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_a_wrong_call_says_what_is_wrong_and_ends_with_2(arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_no_command_at_all_shows_the_help() -> None:
    code, out, err = run()
    assert code in {0, 2}
    assert "Commands:" in out + err


@pytest.mark.parametrize("kind", ["exporter", "relay"])
def test_check_says_that_settings_are_good(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"{kind}.yml"
    file.write_text("log: {level: debug}\n")
    assert run("config", "check", str(file)) == (0, f"{file}: good settings for {kind}\n", "")


def test_check_knows_whose_settings_a_file_holds_or_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("database: /x\n")
    code, _, err = run("config", "check", str(file))
    assert code == 2
    assert f"{file}:1: database: unknown key" in err
    assert run("config", "check", "--kind", "relay", str(file))[0] == 0


def test_check_ends_with_2_for_bad_settings_for_real(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("collectors:\n  cpuu: {}\n")
    done = hostwatch("config", "check", str(file))
    expected = f"{file}:2: collectors.cpuu: unknown key, did you mean cpu?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


@pytest.mark.parametrize("kind", ["exporter", "relay"])
def test_the_schema_is_json(kind: str) -> None:
    code, out, _ = run("config", "schema", "--kind", kind)
    assert code == 0
    assert json.loads(out)["title"] == f"hostwatch {kind.capitalize()}"


BAD_FOR_THE_DAEMON = {
    "address": (("serve", "--listen", "localhost"), "--listen: expected ADDRESS:PORT such as"),
    "empty address": (("serve", "--listen", ""), "--listen: expected ADDRESS:PORT such as"),
    "missing file": (("serve", "--config", "/no/such.yml"), "/no/such.yml: cannot be read: No such file or directory"),
    "directory": (("serve", "--config", "/"), "is a directory"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_FOR_THE_DAEMON.values(), ids=BAD_FOR_THE_DAEMON)
def test_what_only_the_daemon_can_tell_ends_with_2_too(arguments: tuple[str, ...], message: str) -> None:
    done = hostwatch(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_stays_the_process_that_was_started_and_takes_nothing_from_the_working_folder(tmp_path: Path) -> None:
    """It becomes another program: whoever started it still knows it by its process ID."""
    (tmp_path / "exporter").mkdir()
    (tmp_path / "exporter" / "__init__.py").write_text("raise SystemExit('taken from the working folder')")
    command = [str(Path(sys.executable).parent / "hostwatch"), "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr is not None
            event = json.loads(child.stderr.readline())
            assert event["event"] == "exporter listens"
            words = Path(f"/proc/{child.pid}/cmdline").read_text().split("\0")
            assert words[-5:] == ["-m", "exporter.start", "serve", "listen=127.0.0.1:0", ""]
        finally:
            child.kill()


def test_serve_ends_with_2_for_bad_settings_for_real(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("listen: nowhere\n")
    done = hostwatch("serve", "--config", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"{file}:1: listen: expected ADDRESS:PORT")
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_gets_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = hostwatch("config", "schema", stdout=write)
    finally:
        os.close(write)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.returncode != 0


def test_a_file_name_that_is_no_text_is_told_as_it_can_be(tmp_path: Path) -> None:
    done = hostwatch("config", "check", os.fsencode(tmp_path) + b"/\xff.yml")
    assert done.returncode == 2
    assert "cannot be read: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
