"""What is wrong is told by /-/ready and by the page's lamps, each in one line."""

from typing import Any

import msgspec
import pytest

from exporter.relay.lights import lights_of
from exporter.relay.status import (
    EvidenceStatus,
    HeartbeatStatus,
    QueueStatus,
    SlackStatus,
    Status,
    TokenStatus,
    WatchdogStatus,
    _faults,
)

AT = "2026-11-20T15:06:21.000Z"
QUEUE = QueueStatus(snapshots=0, messages=0, threads=0, limit=10, firing=0, dead_letters=0, writable=True)
SLACK = SlackStatus(calls={}, errors={}, messages=0, lines=0, copies=0, undeliverable=0, pauses={})
TOKEN = TokenStatus(present=True, ok=True, text="token from /x", since=AT)
DOG = WatchdogStatus(expected=True, fresh=True, last_seen=AT, age_seconds=20.0)
GOOD = Status(
    mode="slack",
    version="1",
    faults=(),
    queue=QUEUE,
    watchdog=DOG,
    slack=SLACK,
    token=TOKEN,
    heartbeat=HeartbeatStatus(sent=3, failures=0, last_success=AT),
    evidence=EvidenceStatus(fetches=2, failures=1),
)


def but(**parts: dict[str, Any]) -> Status:
    """Return a good status but for some fields of some parts."""
    changed = {name: msgspec.structs.replace(getattr(GOOD, name), **fields) for name, fields in parts.items()}
    return msgspec.structs.replace(GOOD, **changed)


FAULTS: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "disk": ({"queue": {"writable": False}}, "the database cannot be written"),
    "full": ({"queue": {"messages": 10}}, "the queue is full"),
    "no token": (
        {"token": {"present": False, "ok": False, "text": "Vault is sealed"}},
        "no Slack token yet: Vault is sealed",
    ),
    "source": ({"token": {"ok": False, "text": "Vault is sealed"}}, "the source of the Slack token: Vault is sealed"),
    "slack": (
        {"slack": {"failing_since": AT, "failing_seconds": 61.0, "last_error": "transient: timeout"}},
        f"Slack has taken no message since {AT}: transient: timeout",
    ),
    "silent": ({"watchdog": {"silent_since": AT, "fresh": False}}, f"the alert pipeline is silent since {AT}"),
}


@pytest.mark.parametrize(("parts", "text"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_told(parts: dict[str, dict[str, Any]], text: str) -> None:
    (fault,) = _faults(but(**parts), delivering=True)
    assert text in fault


def test_a_delivery_that_ended_is_told() -> None:
    assert _faults(GOOD, delivering=False) == ["the delivery has ended"]


def test_all_is_well_and_a_short_failure_is_no_fault() -> None:
    assert _faults(GOOD, delivering=True) == []
    short = but(slack={"failing_since": AT, "failing_seconds": 59.0, "last_error": "rate: ratelimited"})
    assert _faults(short, delivering=True) == []


LIGHTS: dict[str, tuple[dict[str, dict[str, Any]], str, str, str]] = {
    "nothing sent": ({}, "Slack", "good", "Nothing was sent yet"),
    "sent": ({"slack": {"last_success": AT}}, "Slack", "good", "Took a message 2026-11-20 15:06:21 UTC"),
    "pauses": ({"slack": {"last_success": AT, "pauses": {"chat.update": 30.0}}}, "Slack", "look", "Took a message"),
    "fails": (
        {"slack": {"failing_since": AT, "failing_seconds": 90.0, "last_error": "token: invalid_auth"}},
        "Slack",
        "bad",
        "Takes no message for 1 min 30 s: token: invalid_auth",
    ),
    "fails for a moment": (
        {"slack": {"failing_since": AT, "failing_seconds": 5.0, "last_error": "rate: ratelimited"}},
        "Slack",
        "look",
        "Takes no message for 5 s: rate: ratelimited",
    ),
    "token": ({}, "Token", "good", "Token from /x"),
    "last good token": ({"token": {"ok": False}}, "Token", "look", "Token from /x"),
    "vault": (
        {"token": {"text": "secret/x", "version": 3, "latest": 4, "lease_ends": AT}},
        "Token",
        "good",
        "Secret/x",
    ),
    "no token": ({"token": {"ok": False, "present": False}}, "Token", "bad", "Token from /x"),
    "watchdog": ({}, "Watchdog", "good", "Came 20 s ago"),
    "silent": ({"watchdog": {"silent_since": AT}}, "Watchdog", "bad", "Silent since 2026-11-20 15:06:21 UTC"),
    "late": ({"watchdog": {"fresh": False}}, "Watchdog", "look", "Came 20 s ago"),
    "before the start": ({"watchdog": {"age_seconds": None}}, "Watchdog", "look", "Not yet since the start"),
    "never": ({"watchdog": {"age_seconds": None, "last_seen": None}}, "Watchdog", "look", "Never came"),
    "heartbeat": ({}, "Heartbeat", "good", "Sent 2026-11-20 15:06:21 UTC"),
    "withheld": ({"heartbeat": {"withheld": "no Watchdog comes"}}, "Heartbeat", "look", "Withheld: no Watchdog comes"),
    "heartbeat fails": ({"heartbeat": {"failures": 2, "last_success": None}}, "Heartbeat", "bad", "None sent yet"),
    "evidence": ({}, "Evidence", "good", "2 asked for, 1 without an answer"),
}


@pytest.mark.parametrize(("parts", "name", "tone", "text"), LIGHTS.values(), ids=LIGHTS)
def test_each_part_has_its_lamp(parts: dict[str, dict[str, Any]], name: str, tone: str, text: str) -> None:
    light = next(one for one in lights_of(but(**parts)) if one.name == name)
    assert (light.tone, light.text[: len(text)]) == (tone, text)


def test_what_is_not_set_up_is_off_or_left_out() -> None:
    plain = Status(
        mode="preview", version="1", faults=(), queue=QUEUE, watchdog=WatchdogStatus(expected=False, fresh=False)
    )
    assert [(one.name, one.tone) for one in lights_of(plain)] == [
        ("Slack", "off"),
        ("Token", "off"),
        ("Watchdog", "off"),
    ]
