"""The delivery against a Slack that fails: what is shown at the end is what is stored."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from exporter.relay.delivery import Delivery
from exporter.relay.settings import SlackSettings
from exporter.relay.storage import Told, Work
from tests.support.delivery_bench import Bench
from tests.support.fake_slack import TOKEN, Fault
from tests.support.relay import alert, resolved

A, B = alert(), alert(instance="web-02:9100")


def test_an_episode_is_one_message_with_its_history_in_the_thread(bench: Bench) -> None:
    for alerts in ((A,), (A, B), (resolved(A), B), (resolved(A), resolved(B))):
        bench.store(*alerts)
        bench.run()
    (root,) = bench.slack.roots()
    assert (root.edits, "RESOLVED" in root.text) == (3, True)
    texts = [one.text for one in bench.slack.thread(root)]
    assert len(texts) == 3
    assert "Also firing" in texts[0]
    assert "1 still firing" in texts[1]
    assert "RESOLVED" in texts[2]
    assert [one.broadcast for one in bench.slack.thread(root)] == [True, False, False]


def test_a_new_episode_opens_a_new_message(bench: Bench) -> None:
    for one in (A, resolved(A), alert(startsAt="2026-11-21T08:00:00Z")):
        bench.store(one)
        bench.run()
    assert [("RESOLVED" in root.text) for root in bench.slack.roots()] == [True, False]


def test_copies_say_nothing_new(bench: Bench) -> None:
    for _ in range(3):
        bench.store(A)
    bench.run()
    bench.store(A)
    bench.run()
    assert bench.slack.count("chat.postMessage") == 1
    assert bench.slack.count("chat.update") == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(error="internal_error"),
        Fault(status=500, html=True),
        Fault(status=429, retry_after=1, error="ratelimited"),
        Fault(cut="before"),
        Fault(error="service_unavailable"),
        Fault(error="never_heard_of"),
    ],
    ids=lambda fault: fault.error or fault.cut or str(fault.status),
)
def test_what_fails_is_tried_again_until_it_is_there(bench: Bench, fault: Fault) -> None:
    bench.slack.fail_next(fault)
    bench.store(A)
    bench.run()
    assert len(bench.slack.roots()) == 1


def test_a_cut_answer_makes_a_copy_that_says_so_and_goes_on_saying_so(bench: Bench) -> None:
    bench.slack.fail_next(Fault(cut="after"))
    bench.store(A)
    bench.run()
    first, second = bench.slack.roots()
    assert first.delivery == second.delivery
    assert "Sent again" in str(second.attachments)
    bench.store(resolved(A))
    bench.run()
    assert "Sent again" in str(second.attachments)
    assert "RESOLVED" in second.text


def test_a_call_that_a_crash_interrupted_is_found_marked(bench: Bench) -> None:
    bench.store(A)

    async def begin() -> None:
        delivery = bench.make()
        begun: list[Any] = []
        delivery._send = begun.append  # type: ignore[method-assign] -- the process ends here
        while not begun:
            await delivery.step()

    asyncio.run(begin())
    bench.run()
    (root,) = bench.slack.roots()
    assert "Sent again" in str(root.attachments)


def test_a_refused_token_holds_everything_until_there_is_another(bench: Bench) -> None:
    bench.slack.tokens = {"xoxb-new"}
    bench.store(A)
    bench.run(lambda: bench.tokens.refusals == ["1"])
    assert bench.queue.stats.depth == 1
    bench.tokens.token, bench.tokens.version = "xoxb-new", 2
    bench.run()
    assert [root.token for root in bench.slack.roots()] == ["xoxb-new"]


def test_without_a_token_yet_all_waits(bench: Bench) -> None:
    bench.tokens.token = None
    bench.store(A)
    bench.run(lambda: bench.queue.stats.snapshots == 0)
    assert (bench.queue.stats.messages, bench.slack.calls) == (1, [])
    bench.tokens.token = TOKEN
    bench.run()
    assert len(bench.slack.roots()) == 1


def test_a_channel_that_cannot_be_used_gives_way_to_the_fallback(bench: Bench) -> None:
    bench.store(A)
    bench.run(channel="#gone", fallback_channel="#fallback")
    (root,) = bench.slack.roots("#fallback")
    assert "Meant for #gone" in str(root.attachments)
    bench.store(resolved(A))
    bench.run(channel="#gone", fallback_channel="#fallback")
    assert "RESOLVED" in root.text


def test_a_channel_that_cannot_be_used_holds_up_no_other(bench: Bench) -> None:
    bench.store(A, group="lost", receiver="lost")
    bench.store(B, group="good")
    bench.tokens.channels = {"lost": "#gone"}
    bench.run(lambda: len(bench.slack.roots()) == 1 and bench.queue.stats.depth == 1)
    bench.slack.add_channel("#gone")
    bench.run()
    assert len(bench.slack.roots("#gone")) == 1


def test_a_message_that_is_gone_is_posted_anew(bench: Bench) -> None:
    bench.store(A)
    bench.run()
    bench.slack.messages[bench.slack.channels["#alerts"]].clear()
    bench.store(A, B)
    bench.run()
    (root,) = bench.slack.roots()
    assert "2 firing" in root.text
    assert len(bench.slack.thread(root)) == 1


def test_what_slack_refuses_for_its_form_goes_as_plain_text(bench: Bench) -> None:
    bench.slack.fail_next(Fault(error="invalid_blocks"))
    bench.store(A)
    bench.run()
    (root,) = bench.slack.roots()
    assert (root.attachments, "HostCpuHigh" in root.text) == ([], True)


def test_what_slack_refuses_as_plain_text_too_is_a_dead_letter(bench: Bench) -> None:
    bench.slack.fault = lambda _method, _arguments: Fault(error="msg_too_long")
    bench.store(A)
    delivery = bench.run()
    assert (bench.queue.stats.dead_letters, delivery.state.undeliverable) == (1, 1)


def test_old_news_says_how_late_it_is(bench: Bench) -> None:
    bench.store(A)
    bench.now += 3600
    bench.run()
    (root,) = bench.slack.roots()
    assert "Told 1 h late" in str(root.attachments)


def test_what_came_and_went_while_slack_was_away_is_told_once_as_over(bench: Bench) -> None:
    bench.store(A)
    bench.store(resolved(A))
    bench.now += 3600
    bench.run()
    (root,) = bench.slack.roots()
    assert "RESOLVED" in root.text
    assert "Fired and was resolved while Slack could not be reached" in str(root.attachments)
    (line,) = bench.slack.thread(root)
    assert line.text.index("Firing") < line.text.index("RESOLVED")


def test_mentions_follow_the_severity_and_end_with_it(bench: Bench) -> None:
    mentions = {"critical": "<!here>"}
    bench.store(A)
    bench.run(mentions=mentions)
    (root,) = bench.slack.roots()
    assert root.text.endswith("<!here>")
    bench.store(resolved(A))
    bench.run(mentions=mentions)
    assert "<!here>" not in root.text
    assert all("<!here>" not in one.text for one in bench.slack.thread(root))


def test_what_was_previewed_and_still_fires_is_delivered_once_there_is_a_token(bench: Bench) -> None:
    bench.store(A, group="fires")
    bench.store(resolved(B), group="over")

    async def preview() -> None:
        delivery = Delivery(bench.queue, SlackSettings(), lambda *_: None)
        while await delivery.step():
            pass

    asyncio.run(preview())
    assert bench.queue.stats.depth == 0
    bench.run(lambda: len(bench.slack.roots()) == 1 and bench.queue.stats.depth == 0)
    assert "web-01" in bench.slack.roots()[0].text


def test_critical_comes_first_and_each_group_in_order(bench: Bench) -> None:
    for number in range(6):
        severity = "critical" if number == 5 else "warning"
        bench.store(alert(instance=f"h{number}", labels={"severity": severity}), group=str(number))
    bench.tokens.token = None
    bench.run(lambda: bench.queue.stats.snapshots == 0)
    bench.tokens.token = TOKEN
    bench.run(senders=1)
    assert [root.text[-2:] for root in bench.slack.roots()] == ["h5", "h0", "h1", "h2", "h3", "h4"]


def test_a_call_under_way_at_the_end_is_noted_and_makes_no_copy(bench: Bench) -> None:
    bench.slack.delay = 0.3
    bench.store(A)
    bench.run(lambda: bench.slack.count("chat.postMessage") == 1)
    assert bench.queue.stats.depth == 0
    bench.run()
    assert bench.slack.count("chat.postMessage") == 1


def test_a_pause_that_slack_asked_for_is_kept_over_a_restart(bench: Bench) -> None:
    bench.slack.fail_next(Fault(status=429, retry_after=300, error="ratelimited"))
    bench.store(A)
    bench.run(lambda: bench.slack.count("chat.postMessage") == 1 and not bench.slack.faults)

    async def restarted() -> float:
        delivery = bench.make()
        await delivery._begin()
        while await delivery.step():
            pass
        return delivery._hold.pace.posts_in()

    assert 200 < asyncio.run(restarted()) <= 300
    assert bench.slack.count("chat.postMessage") == 1


def test_a_group_that_the_disk_has_no_room_for_holds_up_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.tokens.token = None
    bench.store(A)
    bench.run(lambda: bench.queue.stats.messages == 1 and bench.queue.stats.snapshots == 0)
    bench.tokens.token = TOKEN
    bench.store(B, group="large")
    settling = bench.queue.settling

    def full(work: Work, told: Told, *, live: bool) -> Callable[[sqlite3.Connection], None]:
        def fail(db: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        return (
            fail if any("large" in one.episode.group_key for one in told.tellings) else settling(work, told, live=live)
        )

    monkeypatch.setattr(bench.queue, "settling", full)
    bench.run(lambda: bool(bench.slack.roots()))
    assert (len(bench.slack.roots()), bench.queue.stats.snapshots) == (1, 1)
    monkeypatch.undo()
    bench.run()
    assert len(bench.slack.roots()) == 2
