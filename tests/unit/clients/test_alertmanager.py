"""Alertmanager's API: what is read of its answers, and what becomes of others."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from exporter.clients import alertmanager
from exporter.clients.http_get import Access, GetError
from exporter.clients.unix_http import Answer

STATUS = {
    "cluster": {"name": "x", "peers": [], "status": "ready"},
    "config": {"original": "route: {receiver: relay}\n"},
    "uptime": "2026-11-20T15:06:21.207Z",
    "versionInfo": {"version": "0.25.0", "goVersion": "go1.19"},
}
ALERT = {
    "labels": {"alertname": "HostDown", "instance": "web-01"},
    "annotations": {"summary": "gone"},
    "startsAt": "2026-11-20T15:06:21.207Z",
    "endsAt": "2026-11-20T15:10:21.207Z",
    "updatedAt": "2026-11-20T15:06:21.207Z",
    "fingerprint": "ab12",
    "receivers": [{"name": "relay"}],
    "status": {"state": "suppressed", "silencedBy": ["s1"], "inhibitedBy": []},
    "generatorURL": "http://prometheus.example:9090",
}


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Any], list[str]]:
    """Let every request have one answer; return the addresses that are asked for."""

    def answer(status: int, body: Any) -> list[str]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked: list[str] = []

        def get(url: str, *_: Any) -> Answer:
            asked.append(url)
            return Answer(status, {}, data)

        monkeypatch.setattr(alertmanager, "get", get)
        return asked

    return answer


def deadline() -> float:
    return time.monotonic() + 1


def test_status_has_version_and_configuration(answering: Callable[[int, Any], list[str]]) -> None:
    asked = answering(200, STATUS)
    status = alertmanager.fetch_status("http://am.example:9093/", deadline(), Access())
    assert asked == ["http://am.example:9093/api/v2/status"]
    assert (status.version, status.configuration) == ("0.25.0", "route: {receiver: relay}\n")


def test_alerts_have_their_state(answering: Callable[[int, Any], list[str]]) -> None:
    asked = answering(200, [ALERT])
    (alert,) = alertmanager.fetch_alerts("http://am.example:9093", deadline(), Access())
    assert asked == ["http://am.example:9093/api/v2/alerts"]
    assert alert.labels["alertname"] == "HostDown"
    assert (alert.status.state, alert.status.silenced_by) == ("suppressed", ["s1"])
    assert [one.name for one in alert.receivers] == ["relay"]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        pytest.param(500, b"oops", "HTTP status 500", id="failing"),
        pytest.param(404, b"", "HTTP status 404", id="something-else-listens"),
        pytest.param(200, b"<html>", "not what Alertmanager answers to alerts", id="no-json"),
        pytest.param(200, {"status": "success"}, "not what Alertmanager answers to alerts", id="another-shape"),
    ],
)
def test_other_answers_are_errors(
    answering: Callable[[int, Any], list[str]], status: int, body: Any, says: str
) -> None:
    answering(status, body)
    with pytest.raises(GetError, match=says):
        alertmanager.fetch_alerts("http://am.example:9093", deadline(), Access())
