"""What all Alertmanagers know: whole, or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.relay import alertmanagers
from exporter.relay.alertmanagers import LookError, ask, longest_group_interval
from exporter.relay.settings import AccessSettings, ReconcileSettings
from exporter.settings import Duration
from tests.support.fake_alertmanager import FakeAlertmanager
from tests.support.relay import alert

SETTINGS = ReconcileSettings(timeout=Duration(5))
WEB, DB = alert(instance="web"), alert(instance="db")


@pytest.fixture
def two() -> Iterator[tuple[FakeAlertmanager, FakeAlertmanager]]:
    with FakeAlertmanager() as one, FakeAlertmanager() as other:
        yield one, other


def test_what_one_of_two_knows_is_known_muted_or_not(two: tuple[FakeAlertmanager, FakeAlertmanager]) -> None:
    one, other = two
    one.knows(WEB)
    other.knows(DB, state="suppressed")
    other.start, other.config = "later", one.config.replace("1m", "10m")
    found = ask((one.url, other.url + "/"), SETTINGS)
    assert found.fingerprints == {WEB["fingerprint"], DB["fingerprint"]}
    assert found.starts == {one.url: one.start, other.url + "/": "later"}
    assert found.group_interval == 600


def test_alerts_are_asked_before_the_start(two: tuple[FakeAlertmanager, FakeAlertmanager]) -> None:
    one, _ = two
    ask((one.url,), SETTINGS)
    assert one.asked == ["/api/v2/alerts", "/api/v2/status"]


def test_locks_are_opened(two: tuple[FakeAlertmanager, FakeAlertmanager], tmp_path: Path) -> None:
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("secret\n")
    access = AccessSettings(username="relay", password_file=str(tmp_path / "password"))
    ask((two[0].url,), ReconcileSettings(access=access))
    assert two[0].authorization == ["Basic cmVsYXk6c2VjcmV0"] * 2


def test_a_password_that_cannot_be_read_is_a_fault_of_the_settings() -> None:
    access = AccessSettings(username="relay", password_file="/nowhere")
    with pytest.raises(LookError, match=r"reconcile\.access\.password_file") as caught:
        ask(("http://127.0.0.1:1",), ReconcileSettings(access=access))
    assert caught.value.reason == "settings"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/v2/alerts", (500, b"[]")),
        ("/api/v2/alerts", (200, b"")),
        ("/api/v2/alerts", (200, b"null")),
        ("/api/v2/alerts", (200, b"{}")),
        ("/api/v2/alerts", (200, b"[{}]")),
        ("/api/v2/alerts", (200, b'[{"labels":{"a":"b"}}]')),
        ("/api/v2/alerts", (200, b'[{"fingerprint":"x","labels":{"a":"b"}}')),
        ("/api/v2/alerts", (200, b"<html>")),
        ("/api/v2/alerts", (302, b"[]")),
        ("/api/v2/status", (503, b"")),
        ("/api/v2/status", (200, b"{}")),
        ("/api/v2/status", (200, b'{"uptime":"","versionInfo":{"version":"1"}}')),
        ("/api/v2/status", (200, b'{"uptime":"x"}')),
    ],
)
def test_anything_but_a_whole_answer_of_each_is_an_error(
    two: tuple[FakeAlertmanager, FakeAlertmanager], path: str, answer: tuple[int, bytes]
) -> None:
    two[1].answers[path] = answer
    with pytest.raises(LookError, match=two[1].url) as caught:
        ask((two[0].url, two[1].url), SETTINGS)
    assert caught.value.reason == "alertmanager"


@pytest.mark.parametrize("path", ["/api/v2/alerts", "/api/v2/status"])
def test_half_an_answer_is_an_error(two: tuple[FakeAlertmanager, FakeAlertmanager], path: str) -> None:
    two[0].knows(WEB, DB)
    two[0].cut.add(path)
    with pytest.raises(LookError):
        ask((two[0].url,), SETTINGS)


def test_nobody_there_is_an_error() -> None:
    with FakeAlertmanager() as gone:
        url = gone.url
    with pytest.raises(LookError):
        ask((url,), SETTINGS)


def test_more_alerts_than_can_be_held_are_an_error(
    two: tuple[FakeAlertmanager, FakeAlertmanager], monkeypatch: Any
) -> None:
    monkeypatch.setattr(alertmanagers, "MAX_ALERTS", 1)
    two[0].knows(WEB, DB)
    with pytest.raises(LookError, match="more than 1 alerts"):
        ask((two[0].url,), SETTINGS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("route:\n  receiver: a\n", 300),
        ("route:\n  group_interval: 1m\n", 60),
        ("route:\n  group_interval: 1h30m\n  routes:\n  - receiver: b\n    group_interval: 5m\n", 5400),
        ("route:\n  group_interval: 1m\n  routes:\n  - receiver: b\n    group_interval: 10m\n", 600),
        ("route:\n  receiver: a\n  routes:\n  - group_interval: 10s\n", 300),
        ("route:\n  receiver: a\n  routes:\n  - receiver: b\n    group_interval: 500ms\n", 300),
        ("route:\n  group_interval: 1d2w500ms\n", 86_400 + 14 * 86_400 + 0.5),
        ("route:\n  group_interval: soon\n", 300),
        ("", 300),
    ],
    ids=["default", "root", "hours", "child", "child first", "root default", "long", "unreadable", "empty"],
)
def test_longest_group_interval(text: str, seconds: float) -> None:
    assert longest_group_interval(text) == seconds
