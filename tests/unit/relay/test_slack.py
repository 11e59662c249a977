"""Slack's Web API against a server that fails in every way; no error carries the token."""

import socket
import traceback

import pytest

from exporter.logs import Secret
from exporter.relay.slack import ErrorKind, Posted, Slack, SlackError
from tests.support.fake_slack import TOKEN, FakeSlack, Fault, slack_that

SECRET = Secret(TOKEN)
MESSAGE = {"text": "hello", "attachments": [], "unfurl_links": False}

FAULTS = [
    (Fault(error="invalid_auth"), ErrorKind.TOKEN, "invalid_auth", False),
    (Fault(error="token_revoked"), ErrorKind.TOKEN, "token_revoked", False),
    (Fault(error="missing_scope"), ErrorKind.TOKEN, "missing_scope", False),
    (Fault(error="channel_not_found"), ErrorKind.CHANNEL, "channel_not_found", False),
    (Fault(error="is_archived"), ErrorKind.CHANNEL, "is_archived", False),
    (Fault(error="team_access_not_granted"), ErrorKind.CHANNEL, "team_access_not_granted", False),
    (Fault(error="edit_window_closed"), ErrorKind.LOCKED, "edit_window_closed", False),
    (Fault(error="msg_blocks_too_long"), ErrorKind.PAYLOAD, "msg_blocks_too_long", False),
    (Fault(error="message_not_found"), ErrorKind.GONE, "message_not_found", False),
    (Fault(error="fatal_error"), ErrorKind.TRANSIENT, "fatal_error", True),
    (Fault(error="service_unavailable"), ErrorKind.TRANSIENT, "service_unavailable", False),
    (Fault(error="never_heard_of"), ErrorKind.TRANSIENT, "never_heard_of", False),
    (Fault(status=429, retry_after=7, error="ratelimited"), ErrorKind.RATE, "ratelimited", False),
    (Fault(error="rate_limited"), ErrorKind.RATE, "ratelimited", False),
    (Fault(status=500, html=True), ErrorKind.TRANSIENT, "http_500", True),
    (Fault(status=503, html=True), ErrorKind.TRANSIENT, "http_503", True),
    (Fault(html=True), ErrorKind.TRANSIENT, "http_200", True),
    (Fault(cut="before"), ErrorKind.TRANSIENT, None, True),
    (Fault(cut="after"), ErrorKind.TRANSIENT, None, True),
]


@pytest.mark.parametrize(("fault", "kind", "code", "ambiguous"), FAULTS, ids=lambda value: str(value)[:60])
def test_each_failure_has_its_class(fault: Fault, kind: ErrorKind, code: str | None, ambiguous: bool) -> None:
    with slack_that(fault) as slack, pytest.raises(SlackError) as caught:
        Slack(slack.url, 2).post(SECRET, "#alerts", MESSAGE)
    assert (caught.value.kind, caught.value.ambiguous) == (kind, ambiguous)
    if code is not None:
        assert caught.value.code == code
    told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert TOKEN not in told
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("header", "seconds"), [(7, 7.0), (None, 30.0), (10**9, 3600.0), (0, 1.0)], ids=["given", "missing", "huge", "zero"]
)
def test_retry_after_is_honoured_within_bounds(header: int | None, seconds: float) -> None:
    fault = Fault(status=429, retry_after=header, error="ratelimited")
    with slack_that(fault) as slack, pytest.raises(SlackError) as caught:
        Slack(slack.url, 2).post(SECRET, "#alerts", MESSAGE)
    assert caught.value.retry_after == seconds


def test_an_answer_that_does_not_come_is_a_time_out_of_unclear_outcome() -> None:
    with FakeSlack() as slack:
        slack.fail_next(Fault(hang=5))
        with pytest.raises(SlackError) as caught:
            Slack(slack.url, 1).post(SECRET, "#alerts", MESSAGE)
        slack.released.set()
    assert (caught.value.code, caught.value.ambiguous) == ("timeout", True)


def test_a_closed_port_is_no_unclear_outcome() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SlackError) as caught:
        Slack(f"http://127.0.0.1:{port}/api", 1).post(SECRET, "#alerts", MESSAGE)
    assert (caught.value.code, caught.value.ambiguous) == ("econnrefused", False)


def test_nothing_is_sent_twice_by_the_library() -> None:
    with FakeSlack() as slack:
        slack.fail_next(Fault(cut="after"))
        with pytest.raises(SlackError):
            Slack(slack.url, 2).post(SECRET, "#alerts", MESSAGE)
        assert slack.count("chat.postMessage") == 1


def test_a_message_is_posted_answered_in_its_thread_and_updated() -> None:
    with FakeSlack() as slack:
        api = Slack(slack.url, 2)
        root = api.post(SECRET, "#alerts", MESSAGE, delivery="d1")
        api.post(SECRET, root.channel, {"text": "more"}, thread=root.ts, broadcast=True, delivery="d2")
        api.update(SECRET, root, {"text": "changed", "attachments": [], "unfurl_links": False})
        first, second = slack.messages[root.channel]
        assert (first.text, first.edits, first.delivery) == ("changed", 1, "d1")
        assert (second.thread, second.broadcast, second.delivery) == (root.ts, True, "d2")
        with pytest.raises(SlackError) as caught:
            api.update(SECRET, Posted(root.channel, "1.1"), MESSAGE)
        assert caught.value.kind is ErrorKind.GONE


def test_auth_test_says_whose_token_it_is() -> None:
    with FakeSlack() as slack:
        assert Slack(slack.url, 2).auth_test(SECRET).team == "Example"
        with pytest.raises(SlackError, match="invalid_auth"):
            Slack(slack.url, 2).auth_test(Secret("xoxb-other"))
