"""`hostwatch relay test` leaves no red message behind, whatever ends it."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.relay import probe
from exporter.relay.client import AnswerError
from exporter.relay.probe import Probe
from exporter.relay.settings import Relay


class Running:
    """A relay that runs and never gets a message to Slack; `fails` is raised by what is asked of it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.fails: dict[str, BaseException] = {}

    def is_running(self) -> bool:
        return True

    def post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        self._fail(path)
        if path == "/alertmanager":
            self._fail(content["status"])
            self.sent.append(content["status"])
            return {}
        return {"ok": True, "user": "hostwatch", "team": "Example", "url": ""}

    def get(self, path: str) -> dict[str, Any]:
        self._fail(path.partition("?")[0])
        if path == "/api/v1/status":
            return {"mode": "live", "token": {"present": True, "text": ""}, "slack": {"last_error": "channel: x"}}
        return {"messages": [{"delivered": False, "status": "firing"}]}

    def _fail(self, path: str) -> None:
        if path in self.fails:
            raise self.fails[path]


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Running:
    one = Running()
    monkeypatch.setattr(probe, "RelayClient", lambda *_: one)
    return one


@pytest.fixture
def test(tmp_path: Path) -> tuple[Callable[[], int], list[str]]:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("tok-canary\n")
    said: list[str] = []
    one = Probe(Relay(token_file=str(token)), [], said.append, receiver="slack", seconds=0.01)
    return one.run, said


def test_a_message_that_slack_does_not_show_in_time_is_resolved(relay: Running, test: Any) -> None:
    run, said = test
    assert run() == 1
    assert relay.sent == ["firing", "resolved"]
    assert [line[:30].split()[:2] for line in said[-2:]] == [["FAILED", "posted"], ["ok", "resolved"]]


def test_an_interrupted_test_is_resolved(relay: Running, test: Any) -> None:
    run, _ = test
    relay.fails["/api/v1/auth-test"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert relay.sent == ["firing", "resolved"]


def test_a_test_that_is_ended_by_a_signal_is_resolved(
    relay: Running, test: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = test
    monkeypatch.setattr(relay, "get", lambda _: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit):
        run()
    assert relay.sent == ["firing", "resolved"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_was_not_taken_is_not_resolved(relay: Running, test: Any) -> None:
    run, _ = test
    relay.fails["/alertmanager"] = AnswerError("503")
    assert run() == 1
    assert relay.sent == []


def test_a_message_that_cannot_be_resolved_is_told(relay: Running, test: Any) -> None:
    run, said = test
    relay.fails["resolved"] = AnswerError("503")
    assert run() == 1
    assert "resolved sent" in said[-1]
    assert said[-1].startswith("FAILED")
