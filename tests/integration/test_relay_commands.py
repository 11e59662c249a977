"""`hostwatch relay test` and its neighbours for real: with a relay that runs, and with none."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.exporter import ROOT
from tests.support.fake_slack import TOKEN, FakeSlack, Fault
from tests.support.relay import RelayProcess

pytestmark = pytest.mark.slow

STEPS = [
    "settings",
    "token file",
    "relay",
    "Alertmanager's POST accepted",
    "stored and read",
    "token source",
    "Slack's auth.test",
    "posted",
    "resolved sent",
    "updated",
]


class World:
    def __init__(self, folder: Path, slack: FakeSlack) -> None:
        self.folder, self.slack = folder, slack
        self.group = 0
        token = folder / "slack-token"
        token.touch(0o600)
        token.write_text(TOKEN)
        self.settings: dict[str, Any] = {
            "slack": {"token_file": str(token), "channel": "#alerts", "api_url": slack.url},
        }

    def command(self, *arguments: str, port: int = 0) -> "subprocess.CompletedProcess[str]":
        file = self.folder / "relay.yml"
        settings = {
            **self.settings,
            "listen": f"127.0.0.1:{port or 9}",
            "token_file": str(self.folder / "token"),
            "database": str(self.folder / "relay.db"),
        }
        file.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "exporter", "relay", *arguments, "--config", str(file)]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
        ) as child:
            self.group = child.pid
            try:
                out, err = child.communicate(timeout=60)
            except BaseException:
                child.kill()
                raise
        done = subprocess.CompletedProcess(command, child.returncode, out, err)
        assert "Traceback" not in done.stderr, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done


def steps(out: str) -> list[tuple[str, str]]:
    """Return mark and name of each step, its time checked."""
    rows = [re.fullmatch(r"(ok|FAILED) +(.+?) {2,}(\d+) ms(?:  .*)?", line) for line in out.splitlines()]
    assert all(rows), out
    return [(row[1], row[2]) for row in rows if row]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FakeSlack() as slack:
        yield World(tmp_path, slack)


def test_a_message_goes_all_the_way_through_the_relay_that_runs(world: World) -> None:
    with RelayProcess(world.folder, **world.settings) as relay:
        done = world.command("test", port=relay.port)
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps(done.stdout) == [("ok", name) for name in STEPS]
    (root,) = world.slack.roots()
    assert "RESOLVED" in root.text
    assert "This is a test" in str(root.attachments)
    assert root.edits >= 1


def test_without_a_relay_one_runs_for_the_test_and_leaves_nothing(world: World) -> None:
    (world.folder / "token").touch(0o600)
    (world.folder / "token").write_text("tok-canary\n")
    done = world.command("test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [name for _, name in steps(done.stdout)] == [*STEPS[:3], "started for this test", *STEPS[3:]]
    assert len(world.slack.roots()) == 1
    assert not (world.folder / "relay.db").exists()


FAULTS: dict[str, tuple[Fault, str, str]] = {
    "token": (Fault(error="token_revoked"), "Slack's auth.test", "token_revoked"),
    "channel": (Fault(error="channel_not_found"), "posted", "channel_not_found"),
}


@pytest.mark.parametrize(("fault", "step", "text"), FAULTS.values(), ids=FAULTS)
def test_the_step_that_fails_is_named(world: World, fault: Fault, step: str, text: str) -> None:
    with RelayProcess(world.folder, **world.settings) as relay:
        method = "auth.test" if step == "Slack's auth.test" else "chat.postMessage"
        world.slack.fault = lambda called, _: fault if called == method and relay.messages() else None
        done = world.command("test", "--timeout", "2s", port=relay.port)
    assert done.returncode == 1
    assert steps(done.stdout)[-2:] == [("FAILED", step), ("ok", "resolved sent")]
    assert text in done.stdout.splitlines()[-2]


def test_an_interrupted_test_is_resolved_by_the_relay_of_its_own(world: World) -> None:
    (world.folder / "token").touch(0o600)
    (world.folder / "token").write_text("tok-canary\n")

    def interrupt(called: str, _: Any) -> None:
        if called == "chat.postMessage":
            os.killpg(world.group, signal.SIGINT)  # as a terminal does
            world.slack.fault = lambda *_: None

    world.slack.fault = interrupt
    done = world.command("test")
    assert done.returncode == 1, done.stdout + done.stderr
    assert ("ok", "resolved sent") in steps(done.stdout)
    (root,) = world.slack.roots()
    assert "RESOLVED" in root.text


def test_another_token_is_refused_and_told(world: World) -> None:
    with RelayProcess(world.folder, **world.settings) as relay:
        (world.folder / "other").touch(0o600)
        (world.folder / "other").write_text("wrong\n")
        done = world.command("--token-file", str(world.folder / "other"), "test", port=relay.port)
    assert done.returncode == 1
    assert steps(done.stdout)[-1] == ("FAILED", "Alertmanager's POST accepted")
    assert "401" in done.stdout


def test_a_preview_says_that_it_is_one(world: World) -> None:
    del world.settings["slack"]["token_file"]
    with RelayProcess(world.folder, **world.settings) as relay:
        done = world.command("test", port=relay.port)
        assert len(relay.messages()) == 1
    assert (done.returncode, steps(done.stdout)[-2]) == (1, ("FAILED", "token source"))
    assert "preview" in done.stdout


def test_dead_letters_of_a_running_relay(world: World) -> None:
    with RelayProcess(world.folder, **world.settings) as relay:
        relay.post(b"{nope")
        listed = world.command("dead-letters", "--json", port=relay.port)
        assert [one["body"] for one in json.loads(listed.stdout)] == ["{nope"]
        done = world.command("replay", "--all", port=relay.port)
        assert (done.returncode, "still cannot be read" in done.stdout) == (1, True)


def test_dead_letters_of_a_running_relay_are_discarded(world: World) -> None:
    bodies = [f"{{nope {number}" for number in range(120)]  # more than are asked for at once
    with RelayProcess(world.folder, **world.settings) as relay:
        for body in bodies:
            relay.post(body.encode())
        refused = world.command("discard", "--all", port=relay.port)
        assert (refused.returncode, "--yes" in refused.stderr, relay.metric("relay_dead_letters")) == (2, True, 120)
        done = world.command("discard", "--all", "--yes", "--json", port=relay.port)
        assert (done.returncode, relay.metric("relay_dead_letters")) == (0, 0)
        assert [json.loads(line)["body"] for line in done.stdout.splitlines()] == bodies
        assert relay.metric("relay_dead_letters_discarded_total") == 120
        relay.post(b"{once more")
        done = world.command("discard", "121", "--yes", port=relay.port)
        assert (done.returncode, "121  discarded" in done.stdout) == (0, True)
