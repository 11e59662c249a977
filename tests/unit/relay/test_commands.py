"""`hostwatch relay dead-letters`, `replay` and `discard` where no relay runs, and what all say of wrong settings."""

import base64
import http.server
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exporter import cli
from exporter.relay.queue import DurableQueue
from exporter.relay.settings import Limits
from exporter.relay.storage import DeadLetter
from tests.support.exporter import ROOT
from tests.support.relay import payload
from tests.support.web_server import WebServer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


class World:
    """Settings of a relay that does not run, and what its commands print."""

    def __init__(self, folder: Path) -> None:
        self.database, self.token, self.file = folder / "relay.db", folder / "token", folder / "relay.yml"
        self.token.touch(0o600)
        self.token.write_text("tok-canary-9a81\n")
        self.port = free_port()
        self.write()

    def write(self, **more: Any) -> None:
        settings = {
            "listen": f"127.0.0.1:{self.port}",
            "token_file": str(self.token),
            "database": str(self.database),
            **more,
        }
        self.file.write_text(json.dumps(settings))

    def bury(self, *bodies: Any) -> None:
        queue = DurableQueue(self.database, Limits())
        for body in bodies:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            queue.bury(DeadLetter(reason="payload", detail="why\x1b[2J", body=data, received=0.0)).result(10)
        assert queue.close()

    def invoke(self, *arguments: str, said: str = "") -> Result:
        """Run a command; `said` is what stands on its standard input."""
        result = CliRunner().invoke(cli.main, ["relay", *arguments, "--config", str(self.file)], input=said)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "tok-canary" not in result.output
        return result

    def run(self, *arguments: str) -> tuple[int, str]:
        result = self.invoke(*arguments)
        return result.exit_code, result.output

    def left(self) -> int:
        """How many dead letters there are."""
        queue = DurableQueue(self.database, Limits())
        assert queue.close()
        return queue.stats.dead_letters


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_letters_are_listed_from_the_database(world: World) -> None:
    world.bury(b"{nope", payload())
    code, out = world.run("dead-letters")
    assert code == 0
    first, second = out.splitlines()
    assert first.split()[:5] == ["2", "1970-01-01", "00:00:00", "UTC", "payload"]
    assert second.endswith("why?[2J")  # what a body made of its own error does nothing to a terminal
    code, out = world.run("dead-letters", "--json")
    assert [one["body"] for one in json.loads(out)][1] == "{nope"


def test_no_letters_is_said(world: World) -> None:
    world.bury()
    assert world.run("dead-letters") == (0, "No dead letters.\n")


def test_letters_go_back_into_the_queue(world: World) -> None:
    world.bury(b"{nope", payload())
    code, out = world.run("replay", "--all")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == ["1", "2"]
    assert "still cannot be read" in out.splitlines()[0]
    assert "back in the queue" in out.splitlines()[1]
    queue = DurableQueue(world.database, Limits())
    assert (queue.stats.snapshots, queue.stats.dead_letters) == (1, 1)
    assert queue.close()
    code, out = world.run("replay", "2")
    assert (code, "no such dead letter" in out) == (1, True)


def test_letters_are_discarded_and_told(world: World) -> None:
    world.bury(b"{nope", payload())
    code, out = world.run("discard", "1", "7", "--yes")
    assert code == 1
    first, second = out.splitlines()
    assert first.split()[:6] == ["1", "discarded", "1970-01-01", "00:00:00", "UTC", "payload"]
    assert first.endswith("why?[2J")
    assert second.split(maxsplit=1) == ["7", "no such dead letter"]
    assert world.left() == 1
    assert (world.run("discard", "--all", "--yes")[0], world.left()) == (0, 0)
    assert world.run("discard", "--all", "--yes") == (0, "No dead letters.\n")


def test_what_is_discarded_is_written_whole_as_json(world: World) -> None:
    world.bury(b"{" + b"x" * 20_000, b"\xff\x00")
    done = world.invoke("discard", "--all", "--yes", "--json")
    assert (done.exit_code, world.left()) == (0, 0)
    text, binary = [json.loads(line) for line in done.stdout.splitlines()]
    assert (text["id"], text["reason"], text["encoding"]) == (1, "payload", "utf-8")
    assert text["body"] == "{" + "x" * 20_000
    assert (binary["encoding"], base64.b64decode(binary["body"])) == ("base64", b"\xff\x00")
    done = world.invoke("discard", "9", "--yes", "--json")
    assert (done.exit_code, done.stdout, "no such dead letter" in done.stderr) == (1, "", True)
    assert world.invoke("discard", "--all", "--yes", "--json").stdout == ""


def test_what_cannot_be_written_is_not_discarded(world: World) -> None:
    world.bury(b"{nope")
    command = [sys.executable, "-m", "exporter", "relay", "discard", "--all", "--yes", "--json"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*command, "--config", str(world.file)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    told = "standard output: No space left on device; what was not written is still there\n"
    assert (done.returncode, done.stderr, world.left()) == (1, told, 1)


def test_nothing_is_discarded_where_nobody_can_be_asked(world: World) -> None:
    world.bury(b"{nope")
    code, out = world.run("discard", "--all")
    assert (code, "--yes" in out, world.left()) == (2, True, 1)


@pytest.mark.parametrize(
    ("said", "wanted", "left"),
    [("n\n", 1, 2), ("", 1, 2), ("y\n", 0, 0)],
    ids=["no", "nothing", "yes"],
)
def test_a_person_is_asked(world: World, monkeypatch: pytest.MonkeyPatch, said: str, wanted: int, left: int) -> None:
    world.bury(b"{nope", payload())
    monkeypatch.setattr("exporter.cli.relay._is_terminal", lambda: True)
    done = world.invoke("discard", "--all", "--json", said=said)
    assert (done.exit_code, world.left()) == (wanted, left)
    assert "Discard 2 dead letters? Only what --json writes is left of them." in done.stderr
    assert len(done.stdout.splitlines()) == 2 - left


def test_a_database_is_not_made_by_looking(world: World) -> None:
    code, out = world.run("dead-letters")
    assert (code, "there is no database" in out) == (1, True)
    assert not world.database.exists()


def test_a_database_that_another_has_is_told(world: World) -> None:
    world.bury()
    queue = DurableQueue(world.database, Limits())
    code, out = world.run("dead-letters")
    assert (code, "another relay uses it" in out) == (1, True)
    assert queue.close()


@pytest.mark.parametrize(
    "command", [["test"], ["dead-letters"], ["replay", "--all"], ["discard", "1", "--yes"]], ids=lambda c: c[0]
)
@pytest.mark.parametrize("what", ["no token file", "no such file", "open to all"])
def test_a_token_file_that_cannot_be_used_ends_with_2(world: World, command: list[str], what: str) -> None:
    if what == "no token file":
        world.write(token_file=None)
    elif what == "no such file":
        world.token.unlink()
    else:
        world.token.chmod(0o644)
    code, out = world.run(*command)
    assert (code, "token_file" in out) == (2, True)


@pytest.mark.parametrize("command", [["replay"], ["discard", "--yes"]], ids=lambda c: c[0])
@pytest.mark.parametrize("arguments", [[], ["--all", "1"], ["x"], ["0"], [str(2**63)]], ids=" ".join)
def test_replay_and_discard_want_numbers_or_all(world: World, command: list[str], arguments: list[str]) -> None:
    world.bury(b"{nope")
    assert (world.run(*command, *arguments)[0], world.left()) == (2, 1)


@pytest.mark.parametrize("command", ["test", "dead-letters"])
def test_bad_settings_end_with_2(world: World, command: str) -> None:
    world.file.write_text("watchdog: {expected: perhaps}\n")
    code, out = world.run(command)
    assert code == 2
    assert "relay.yml:1: watchdog.expected: expected true or false" in out


@pytest.fixture
def other() -> Iterator[int]:
    """The port of a server that is no relay."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"welcome")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with WebServer(Handler) as server:
        yield server.port


@pytest.mark.parametrize("command", ["test", "dead-letters"])
def test_what_is_no_relay_gets_no_message(world: World, other: int, command: str) -> None:
    world.write(listen=f"127.0.0.1:{other}")
    code, out = world.run(command)
    assert (code, "is no relay" in out) == (1, True)
