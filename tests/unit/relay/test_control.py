"""What may be done to a running relay: by those who hold the token, and nobody else."""

import json
from typing import Any

import pytest

from tests.support.fake_slack import TOKEN, FakeSlack, Fault
from tests.support.relay import RelayProcess, alert, payload, until


@pytest.fixture(scope="module")
def slack() -> Any:
    with FakeSlack() as one:
        yield one


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, slack: FakeSlack) -> Any:
    folder = tmp_path_factory.mktemp("relay")
    token = folder / "slack-token"
    token.touch(0o600)
    token.write_text(TOKEN)
    settings = {"token_file": str(token), "channel": "#alerts", "api_url": slack.url, "posts_per_second": 1000}
    with RelayProcess(folder, slack=settings) as one:
        until(lambda: one.get("/-/ready").status == 200)
        yield one


def asked(relay: RelayProcess, method: str, path: str, content: Any = None, token: str | None = None) -> Any:
    body = content if isinstance(content, bytes) else json.dumps(content).encode() if content is not None else None
    return relay.request(method, path, body, Authorization=f"Bearer {token or relay.token}")


PATHS = [
    ("GET", "/api/v1/dead-letters"),
    ("GET", "/api/v1/dead-letters/ids"),
    ("GET", "/api/v1/dead-letters/1"),
    ("POST", "/api/v1/dead-letters/replay"),
    ("POST", "/api/v1/dead-letters/discard"),
    ("POST", "/api/v1/auth-test"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic x", "bearer"])
def test_nobody_may_without_the_token(
    relay: RelayProcess, method: str, path: str, header: str, slack: FakeSlack
) -> None:
    calls = slack.count("auth.test")
    answer = relay.request(method, path, b"{}", Authorization=header)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="hostwatch relay"')
    assert slack.count("auth.test") == calls


def test_dead_letters_are_listed_and_replayed(relay: RelayProcess) -> None:
    assert relay.post(b"{nope").status == 400
    (letter,) = asked(relay, "GET", "/api/v1/dead-letters").json["dead_letters"]
    assert (letter["reason"], letter["body"]) == ("not_json", "{nope")
    answer = asked(relay, "POST", "/api/v1/dead-letters/replay", {"ids": [letter["id"], 999]}).json
    assert [bool(one["error"]) for one in answer["replayed"]] == [True, True]
    answer = asked(relay, "POST", "/api/v1/dead-letters/replay", {"all": True}).json
    assert [one["id"] for one in answer["replayed"]] == [letter["id"]]


def test_dead_letters_are_told_whole_and_discarded(relay: RelayProcess) -> None:
    relay.post(b"{discard me")
    letter = max(asked(relay, "GET", "/api/v1/dead-letters/ids").json["ids"])
    assert asked(relay, "GET", f"/api/v1/dead-letters/{letter}").json["body"] == "{discard me"
    before, kept = relay.metric("relay_dead_letters_discarded_total"), relay.metric("relay_dead_letters")
    answer = asked(relay, "POST", "/api/v1/dead-letters/discard", {"ids": [letter, 999]}).json
    assert [(one["id"], one["reason"]) for one in answer["discarded"]] == [(letter, "not_json")]
    assert relay.metric("relay_dead_letters_discarded_total") == before + 1
    assert relay.metric("relay_dead_letters") == kept - 1
    (told,) = [event for event in relay.events() if event["event"] == "dead letters discarded"]
    assert (told["level"], told["ids"], told["missing"]) == ("info", [letter], [999])
    gone = asked(relay, "GET", f"/api/v1/dead-letters/{letter}")
    assert (gone.status, gone.json["error"]) == (404, "there is no such dead letter")


HUGE = 2**63


@pytest.mark.parametrize("path", ["/api/v1/dead-letters/replay", "/api/v1/dead-letters/discard"])
@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"ids":["a"]}', b'{"id":[1]}', b'{"ids":[0]}', b'{"ids":[%d]}' % HUGE, b"x" * 100_000],
    ids=["nothing", "a list", "a text", "another key", "0", "no number of SQLite's", "too much"],
)
def test_what_is_no_list_of_letters_is_refused(relay: RelayProcess, path: str, body: bytes) -> None:
    assert asked(relay, "POST", path, body).status == 400
    assert relay.metric("relay_store_writable") == 1


def test_a_letter_with_no_number_of_sqlites_is_not_there(relay: RelayProcess) -> None:
    assert asked(relay, "GET", f"/api/v1/dead-letters/{HUGE}").status == 404
    assert relay.metric("relay_store_writable") == 1


def test_nobody_discards_what_he_has_not_named(relay: RelayProcess) -> None:
    assert asked(relay, "POST", "/api/v1/dead-letters/discard", {"all": True}).status == 400


def test_slack_is_asked_whose_token_it_is(relay: RelayProcess, slack: FakeSlack) -> None:
    answer = asked(relay, "POST", "/api/v1/auth-test")
    assert (answer.json["ok"], answer.json["team"], answer.json["user"]) == (True, "Example", "hostwatch")
    assert TOKEN not in answer.text
    slack.fail_next(Fault(error="token_revoked"))
    assert asked(relay, "POST", "/api/v1/auth-test").json["error"] == "token_revoked"


def test_the_status_tells_programs_of_all_parts(relay: RelayProcess) -> None:
    before = relay.get("/api/v1/status").json["slack"]["messages"]
    relay.post(payload(alert(), groupKey="status"))
    message = until(lambda: next((m for m in relay.messages() if m["group_key"] == "status" and m["delivered"]), None))
    status = relay.get("/api/v1/status").json
    assert (status["mode"], status["faults"]) == ("slack", [])
    assert status["slack"]["messages"] > before
    assert status["slack"]["calls"]["chat.postMessage"] >= 1
    assert status["token"]["ok"] is True
    assert "heartbeat" not in status
    assert (message["channel"], message["thread"]) == ("#alerts", [])
    assert relay.get("/api/v1/messages?group=nothing").json["messages"] == []


def test_a_watchdog_is_counted_and_not_shown(relay: RelayProcess) -> None:
    before = relay.metric("relay_watchdogs_total")
    dog = alert("Watchdog", labels={"severity": "none"})
    assert relay.post(payload(dog)).json == {"status": "stored"}
    assert relay.metric("relay_watchdogs_total") == before + 1
    assert 0 <= relay.metric("relay_watchdog_age_seconds") < 60
    assert relay.get("/api/v1/status").json["watchdog"]["fresh"] is True
    relay.post(payload(dog, alert("Beside"), groupKey="mixed", groupLabels={}))
    mixed = until(lambda: relay.get("/api/v1/messages?group=mixed").json["messages"])
    assert [one["alert_names"] for one in mixed] == [["Beside"]]
    assert relay.metric("relay_watchdogs_total") == before + 2
    assert "Watchdog" not in json.dumps(relay.messages())


def test_the_metrics_of_slack_are_there_and_what_is_not_known_is_absent(relay: RelayProcess) -> None:
    page = relay.get("/metrics").text
    assert relay.metric('relay_slack_calls_total{method="chat.update"}') == 0
    assert "\nrelay_slack_failing_since_timestamp_seconds " not in page
    assert "\nrelay_heartbeat_last_success_timestamp_seconds " not in page
    assert relay.metric("relay_token_source_ok") == 1
