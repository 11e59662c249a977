"""`hostwatch relay dead-letters` and `replay` where no relay runs, and what all its commands say of wrong settings."""

import http.server
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exporter import cli
from exporter.relay.queue import DurableQueue
from exporter.relay.settings import Limits
from exporter.relay.storage import DeadLetter
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

    def run(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli.main, ["relay", *arguments, "--config", str(self.file)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "tok-canary" not in result.output
        return result.exit_code, result.output


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


@pytest.mark.parametrize("command", [["test"], ["dead-letters"], ["replay", "--all"]], ids=lambda c: c[0])
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


@pytest.mark.parametrize("arguments", [["replay"], ["replay", "--all", "1"], ["replay", "x"], ["replay", "0"]])
def test_replay_wants_numbers_or_all(world: World, arguments: list[str]) -> None:
    assert world.run(*arguments)[0] == 2


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
