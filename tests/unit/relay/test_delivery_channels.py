"""Where messages go: a channel that was wrong or is lost, a message that cannot be changed, and everybody's turn."""

import asyncio
from typing import Any

import pytest

from exporter.relay.delivery import Delivery
from tests.support.delivery_bench import Bench
from tests.support.fake_slack import TOKEN, Fault
from tests.support.relay import alert, resolved

A, B = alert(), alert(instance="web-02:9100")


def errors(bench: Bench) -> int:
    """How many calls Slack has refused."""
    return sum(call.answer not in ("", "ok") for call in bench.slack.calls)


def refuse(bench: Bench, method: str, error: str, times: int) -> None:
    """Let the next calls of a method fail so."""
    left = [Fault(error=error)] * times
    bench.slack.fault = lambda called, _: left.pop() if called == method and left else None


def refuse_in(bench: Bench, channel: str, error: str) -> None:
    """Let all calls to a channel, by name or ID, fail so."""
    names = {channel, bench.slack.channels[channel]}
    bench.slack.fault = lambda _, arguments: Fault(error=error) if arguments.get("channel") in names else None


# -- a channel that was wrong ---------------------------------------------------------------------------------------


def test_what_waits_follows_a_channel_that_was_corrected_in_the_settings(bench: Bench) -> None:
    bench.store(A)
    bench.run(lambda: errors(bench) > 0, channel="#alrets")
    bench.run()
    (root,) = bench.slack.roots()
    assert "Sent again" not in str(root.attachments), "Slack said that it did not take the first"


def test_what_waits_follows_a_channel_that_was_corrected_in_vault(bench: Bench) -> None:
    bench.tokens.channels = {"slack": "#alrets"}
    bench.store(A)
    bench.store(B, group="h")

    def corrected() -> bool:
        if errors(bench):
            bench.tokens.channels, bench.tokens.version = {"slack": "#team"}, 2
        return bench.queue.stats.depth == 0

    bench.run(corrected)
    assert len(bench.slack.roots("#team")) == 2


def test_a_corrected_channel_comes_before_the_fallback(bench: Bench) -> None:
    bench.store(A)
    bench.run(lambda: errors(bench) > 0, channel="#alrets")
    bench.run(fallback_channel="#fallback")
    assert (len(bench.slack.roots()), bench.slack.roots("#fallback")) == (1, [])


def test_a_fallback_that_cannot_be_used_either_gives_way_to_the_right_channel_once_it_can(bench: Bench) -> None:
    bench.store(A)
    bench.run(lambda: errors(bench) > 3, channel="#later", fallback_channel="#nowhere")
    bench.slack.add_channel("#later")
    bench.run(channel="#later", fallback_channel="#nowhere")
    assert len(bench.slack.roots("#later")) == 1


# -- no token yet ---------------------------------------------------------------------------------------------------


async def steps(delivery: Delivery) -> None:
    """Work until nothing may go and no call is under way."""
    while await delivery.step() or delivery._busy or delivery._ended:  # noqa: ASYNC110 -- the calls are on threads
        await asyncio.sleep(0.001)


def test_what_came_while_there_was_no_token_keeps_the_pace_of_its_channel(bench: Bench) -> None:
    bench.tokens.token = None
    for number in range(9):
        bench.store(alert(instance=f"h{number}"), group=str(number))

    async def run() -> None:
        delivery = bench.make(posts_per_second=0.001, burst=3)
        await steps(delivery)
        bench.tokens.token = TOKEN
        await steps(delivery)
        delivery.stop()

    asyncio.run(run())
    assert bench.slack.count("chat.postMessage") == 3


def test_what_came_while_there_was_no_token_waits_with_a_channel_that_cannot_be_used(bench: Bench) -> None:
    bench.tokens.token = None
    for number in range(9):
        bench.store(alert(instance=f"h{number}"), group=str(number))

    async def run() -> None:
        delivery = bench.make(channel="#gone", senders=1, retry_after=60)
        await steps(delivery)
        bench.tokens.token = TOKEN
        await steps(delivery)
        delivery.stop()

    asyncio.run(run())
    assert bench.slack.count("chat.postMessage") == 1


def test_lines_and_messages_of_a_channel_share_its_pace(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    bench.store(A, B)

    async def run() -> None:
        delivery = bench.make(posts_per_second=0.001, burst=3)
        await steps(delivery)
        for number in range(3):
            bench.store(alert(instance=f"h{number}"), group=str(number))
        await steps(delivery)
        delivery.stop()

    asyncio.run(run())
    assert len(bench.slack.thread(bench.slack.roots()[0])) == 1
    assert bench.slack.count("chat.postMessage") == 1 + 3


# -- refusals that concern one channel or one message ---------------------------------------------------------------


@pytest.mark.parametrize("error", ["team_access_not_granted", "access_denied", "no_permission"])
def test_a_refusal_of_one_channel_holds_up_no_other(bench: Bench, error: str) -> None:
    refuse_in(bench, "#team", error)
    bench.tokens.channels = {"lost": "#team"}
    bench.store(A, group="lost", receiver="lost")
    bench.store(B, group="good")
    bench.run(lambda: len(bench.slack.roots()) == 1, retry_after=60, senders=1)
    assert bench.tokens.refusals == []


def test_after_a_refused_token_the_others_come_first(bench: Bench) -> None:
    refuse_in(bench, "#team", "missing_scope")
    bench.tokens.channels = {"lost": "#team"}
    bench.store(A, group="lost", receiver="lost")
    bench.store(B, group="good")
    bench.run(lambda: len(bench.slack.roots()) == 1, senders=1)
    assert bench.queue.stats.depth == 1


# -- a message that cannot be changed, a channel that is lost -------------------------------------------------------


@pytest.mark.parametrize("error", ["edit_window_closed", "cant_update_message"])
def test_news_of_a_message_that_cannot_be_changed_says_that_it_goes_on_from_it(bench: Bench, error: str) -> None:
    bench.store(A)
    bench.run()
    refuse(bench, "chat.update", error, 1)
    bench.store(resolved(A))
    bench.run()
    old, new = bench.slack.roots()
    assert "RESOLVED" not in old.text
    assert "RESOLVED" in new.text
    assert "Continues an earlier message" in str(new.attachments)
    assert "Sent again" not in str(new.attachments)


@pytest.mark.parametrize(("error", "note"), [("cannot_reply_to_message", True), ("thread_not_found", False)])
def test_a_message_that_takes_no_answers_is_not_posted_for_ever(bench: Bench, error: str, note: bool) -> None:
    bench.store(A)
    bench.run()

    def fault(_: str, arguments: dict[str, Any]) -> Fault | None:
        return Fault(error=error) if "thread_ts" in arguments else None

    bench.slack.fault = fault
    bench.store(A, B)
    bench.run()
    assert len(bench.slack.roots()) == 2
    assert ("Continues an earlier message" in str(bench.slack.roots()[1].attachments)) is note
    assert bench.queue.stats.dead_letters == 1


@pytest.mark.parametrize("error", ["cannot_reply_to_message", "message_not_found"])
def test_an_answer_that_makes_no_sense_for_a_new_message_is_tried_again_with_waits(bench: Bench, error: str) -> None:
    refuse(bench, "chat.postMessage", error, 1)
    bench.store(A)
    delivery = bench.run(lambda: errors(bench) > 0, retry_after=60)
    assert delivery._hold._quiet_until > 0
    bench.run()
    (root,) = bench.slack.roots()
    assert "Continues" not in str(root.attachments)


def test_a_message_that_was_deleted_is_posted_anew_without_a_word(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    bench.slack.messages[bench.slack.channels["#alerts"]].clear()
    bench.store(A, B)
    bench.run()
    assert "Continues" not in str(bench.slack.roots()[0].attachments)


def test_news_of_a_message_in_a_lost_channel_says_in_the_fallback_that_it_goes_on(bench: Bench) -> None:
    bench.store(A)
    bench.run(fallback_channel="#fallback")
    refuse_in(bench, "#alerts", "is_archived")
    bench.store(A, B)
    bench.run(fallback_channel="#fallback")
    (root,) = bench.slack.roots("#fallback")
    assert "Continues an earlier message" in str(root.attachments)
    assert "Meant for #alerts" in str(root.attachments)


@pytest.mark.parametrize("error", ["team_access_not_granted", "access_denied", "no_permission"])
def test_an_update_that_is_refused_for_a_while_waits_and_makes_no_second_message(bench: Bench, error: str) -> None:
    bench.store(A)
    bench.run()
    refuse(bench, "chat.update", error, 2)
    bench.store(resolved(A))
    bench.run()
    (root,) = bench.slack.roots()
    assert "RESOLVED" in root.text


def only_lines(bench: Bench, *alerts: Any) -> None:
    """Bring a message up to date whose channel is lost before its thread gets its lines."""

    def lost(_: str, arguments: dict[str, Any]) -> Fault | None:
        return Fault(error="service_unavailable") if "thread_ts" in arguments else None

    bench.slack.fault = lost
    bench.store(*alerts)
    bench.run(lambda: (bench.queue.stats.snapshots, bench.queue.stats.messages, bench.queue.stats.threads) == (0, 0, 1))
    refuse_in(bench, "#alerts", "is_archived")


def test_lines_alone_in_a_lost_channel_go_to_the_fallback_below_a_new_message(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    only_lines(bench, A, B)
    bench.run(fallback_channel="#fallback")
    (root,) = bench.slack.roots("#fallback")
    assert "Continues an earlier message" in str(root.attachments)
    assert len(bench.slack.thread(root, "#fallback")) == 1


def test_lines_of_what_is_over_go_to_the_fallback_too(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    only_lines(bench, resolved(A))
    bench.run(fallback_channel="#fallback")
    (root,) = bench.slack.roots("#fallback")
    assert "RESOLVED" in root.text
    assert len(bench.slack.thread(root, "#fallback")) == 1


def test_lines_of_what_is_over_are_a_dead_letter_where_no_channel_is_left(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    only_lines(bench, resolved(A))
    delivery = bench.run()
    assert (bench.queue.stats.dead_letters, delivery.state.undeliverable) == (1, 1)


# -- what Slack refuses for its form --------------------------------------------------------------------------------


def test_a_message_whose_metadata_slack_refuses_goes_without(bench: Bench) -> None:
    def fault(_: str, arguments: dict[str, Any]) -> Fault | None:
        return Fault(error="invalid_metadata_schema") if "metadata" in arguments else None

    bench.slack.fault = fault
    bench.store(A)
    bench.run()
    bench.store(A, B)
    bench.run()
    (root,) = bench.slack.roots()
    assert (len(bench.slack.thread(root)), bench.queue.stats.dead_letters) == (1, 0)


# -- our own fault --------------------------------------------------------------------------------------------------


def test_a_call_that_fails_by_our_fault_may_have_been_taken(bench: Bench) -> None:
    bench.store(A)

    async def run() -> None:
        delivery = bench.make()
        call = delivery._call
        assert call is not None

        def broken(*arguments: Any, **more: Any) -> Any:
            call(*arguments, **more)
            delivery._call = call
            raise RuntimeError("after the call")

        delivery._call = broken
        await steps(delivery)
        delivery.stop()

    asyncio.run(run())
    _, again = bench.slack.roots()
    assert "Sent again" in again.text
