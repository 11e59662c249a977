"""What the relay expects of Slack: ours keeps it, and so must a real workspace, where SLACK_TEST_TOKEN is set."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from exporter.logs import Secret
from exporter.relay.episodes import Group, apply
from exporter.relay.intake import parse_snapshot
from exporter.relay.message import render
from exporter.relay.slack import ErrorKind, Posted, SlackError
from tests.support.relay import alert, payload
from tests.support.slack_backends import BACKENDS, SlackBackend

MARK = "hostwatch contract suite"
PLAIN = {"text": MARK, "unfurl_links": False, "unfurl_media": False}
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "*bold* &lt;escaped&gt; &amp;"}}
BLOCKS = {"text": MARK, "attachments": [{"color": "#d72b3f", "blocks": [SECTION], "fallback": MARK}]}

Post = Callable[..., Posted]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[SlackBackend]:
    with BACKENDS[request.param]() as running:
        yield running


@pytest.fixture
def post(backend: SlackBackend) -> Iterator[Post]:
    """Post a message; all of them are deleted at the end."""
    made: list[Posted] = []

    def send(message: dict[str, Any], **more: Any) -> Posted:
        backend.pause()
        made.append(backend.slack.post(backend.token, backend.channel, message, **more))
        return made[-1]

    yield send
    for one in made:
        backend.delete(one)


def test_a_good_token_is_somebodys(backend: SlackBackend) -> None:
    identity = backend.slack.auth_test(backend.token)
    assert identity.team
    assert identity.user


def test_a_wrong_token_is_refused_everywhere(backend: SlackBackend) -> None:
    wrong = Secret("xoxb-000000000000-000000000000-nobodys0token0nobodys0to")
    where = Posted(channel="C0000000000", ts="1700000000.000100")
    for call in (
        lambda: backend.slack.auth_test(wrong),
        lambda: backend.slack.post(wrong, backend.channel, PLAIN),
        lambda: backend.slack.update(wrong, where, PLAIN),
    ):
        with pytest.raises(SlackError) as err:
            call()
        assert (err.value.kind, err.value.code, err.value.ambiguous) == (ErrorKind.TOKEN, "invalid_auth", False)


@pytest.mark.parametrize("message", [PLAIN, BLOCKS], ids=["text", "blocks"])
def test_a_message_can_be_posted_and_updated_where_it_stands(
    backend: SlackBackend, post: Post, message: dict[str, Any]
) -> None:
    where = post(message, delivery="contract-1")
    assert where.channel[0] in "CG"
    assert where.ts.replace(".", "").isdigit()
    backend.slack.update(backend.token, where, {**message, "text": f"{MARK}, updated"})
    # again and again: an update is the same however often it is made
    backend.slack.update(backend.token, where, {**message, "text": f"{MARK}, updated"})


def test_a_line_stands_in_a_thread_and_may_reach_the_channel_too(post: Post) -> None:
    root = post(PLAIN)
    assert post(PLAIN, thread=root.ts).ts != root.ts
    assert post(PLAIN, thread=root.ts, broadcast=True).channel == root.channel


def test_an_alert_as_the_relay_renders_it_is_taken(backend: SlackBackend, post: Post) -> None:
    evil = alert(labels={"instance": "<!channel> & *x* `y` <https://example.com|z>", "path": "/" * 3000})
    alerts = [{**evil, "labels": {**evil["labels"], "number": str(number)}} for number in range(40)]
    episode = apply(Group(), parse_snapshot(msgspec.json.encode(payload(*alerts)))).episode
    assert episode is not None
    where = post(render(episode, "https://relay.example.com/").payload())
    backend.slack.update(backend.token, where, render(episode, None, notes=["a note"]).payload())


def test_a_message_that_is_gone_cannot_be_updated(backend: SlackBackend, post: Post) -> None:
    where = post(PLAIN)
    backend.delete(where)
    with pytest.raises(SlackError) as err:
        backend.slack.update(backend.token, where, PLAIN)
    assert (err.value.kind, err.value.code) == (ErrorKind.GONE, "message_not_found")


def test_a_channel_that_is_not_there_is_told(backend: SlackBackend) -> None:
    with pytest.raises(SlackError) as err:
        backend.slack.post(backend.token, "#no-such-channel-of-hostwatch", PLAIN)
    assert (err.value.kind, err.value.code) == (ErrorKind.CHANNEL, "channel_not_found")


@pytest.mark.filterwarnings("ignore:The top-level `text`:UserWarning")  # slack_sdk's, and right it is
def test_a_message_without_anything_is_refused_for_its_form(backend: SlackBackend) -> None:
    with pytest.raises(SlackError) as err:
        backend.slack.post(backend.token, backend.channel, {"text": ""})
    assert (err.value.kind, err.value.code) == (ErrorKind.PAYLOAD, "no_text")


BEYOND = {
    "section too long": (
        {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]},
        {"invalid_blocks"},
    ),
    "too many blocks": ({"text": "x", "blocks": [SECTION] * 51}, {"invalid_blocks"}),
    "all blocks too long": (
        {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}] * 10},
        {"msg_blocks_too_long", "msg_too_long"},
    ),
}


@pytest.mark.parametrize(("message", "codes"), BEYOND.values(), ids=BEYOND)
def test_a_message_beyond_the_limits_is_refused_for_its_form(
    backend: SlackBackend, message: dict[str, Any], codes: set[str]
) -> None:
    backend.pause()
    with pytest.raises(SlackError) as err:
        backend.slack.post(backend.token, backend.channel, message)
    assert err.value.kind is ErrorKind.PAYLOAD
    assert err.value.code in codes
