"""One stream for all open pages: read once for all, not at all for none, bounded, ended at a reload."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from exporter.history import CpuTime, History, Sample
from exporter.server.http import Request, Response
from exporter.settings.exporter import Dashboard
from exporter.web import stream as stream_module
from exporter.web.rows import Rows
from exporter.web.sources import Sources
from exporter.web.stream import Stream
from tests.support import virtual_time

INTERVAL = 5
REQUEST = Request("GET", "/api/v1/stream", "", {}, "")


class Page:
    """The open end of an answer, and what came out of it."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.takes = True
        self.ended = False

    def send(self, data: bytes) -> bool:
        if self.takes:
            self.got.append(data)
        return self.takes

    def end(self) -> None:
        self.ended = True


class Reads:
    """Counts the readings, and gives their rows when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, at_once: bool = True) -> None:
        self.count = 0
        self.at_once = at_once
        self.waiting: list[Callable[[Rows], None]] = []
        monkeypatch.setattr(stream_module, "read", self)

    def __call__(self, _: Sources, __: object, take: Callable[[Rows], None]) -> None:
        self.count += 1
        if self.at_once:
            take(Rows(b"node_load1 2\n"))
        else:
            self.waiting.append(take)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    virtual_time.run(body())


def history() -> History:
    made = History(INTERVAL)
    for busy in (0.0, 0.25):
        made.add(Sample(0, (CpuTime(busy, busy * 2),), 0.5, None, (), ("0",)))
    return made


def opened(stream: Stream) -> tuple[Page, Callable[[], None]]:
    answers: list[Response] = []
    stream(REQUEST, answers.append)
    (answer,) = answers
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
    assert answer.opened is not None
    page = Page()
    return page, answer.opened(page)


def told(data: bytes) -> Any:
    event, line, *rest = data.decode().split("\n")
    assert (event, rest) == ("event: update", ["", ""])
    return json.loads(line.removeprefix("data: "))


def made(dashboard: Dashboard = Dashboard()) -> Stream:  # noqa: B008 -- never changes
    return Stream(Sources(history(), is_sampled=True, dashboard=dashboard), virtual_time.loop().time)


async def intervals(number: float) -> None:
    await asyncio.sleep(number * INTERVAL)


def test_page_that_opens_is_told_at_once(reads: Reads) -> None:
    async def body() -> None:
        page, _ = opened(made())
        update = told(page.got[0])
        assert update["cpu"]["load_1_minute"] == 2
        values = {value["name"]: value["value"] for value in update["sample"]["values"]}
        assert values == {"cpu_usage_ratio": 0.5, "core_usage_ratio": 0.5, "memory_usage_ratio": 0.5}
        assert "alerts" not in update

    run(body)
    assert reads.count == 1


def test_all_pages_are_told_what_was_read_once(reads: Reads) -> None:
    async def body() -> None:
        stream = made()
        pages = [opened(stream)[0] for _ in range(20)]
        assert reads.count == 1
        await intervals(10.1)
        assert reads.count == 11
        assert [len(page.got) for page in pages] == [11] * 20
        assert pages[3].got[-1] is pages[7].got[-1], "the same bytes, not a copy for each"

    run(body)


def test_nothing_is_read_once_the_last_page_is_gone(reads: Reads) -> None:
    async def body() -> None:
        stream = made()
        (_, first), (_, second) = opened(stream), opened(stream)
        first()
        await intervals(1.1)
        second()
        count = reads.count
        await intervals(100)
        assert reads.count == count == 2
        assert stream._last == b""

    run(body)


def test_page_that_does_not_take_the_last_piece_goes_without_the_next(reads: Reads) -> None:
    async def body() -> None:
        stream = made()
        (slow, _), (quick, _) = opened(stream), opened(stream)
        await intervals(0.1)
        slow.takes = False
        await intervals(3)
        slow.takes = True
        await intervals(1)
        assert (len(slow.got), len(quick.got)) == (2, 5)

    run(body)
    assert reads.count


def test_what_is_slow_to_read_is_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(monkeypatch, at_once=False)

    async def body() -> None:
        stream = made()
        page, _ = opened(stream)
        other, lost = opened(stream)
        await intervals(5)
        assert reads.count == 1
        lost()
        reads.waiting.pop()(Rows(b""))
        assert len(page.got) == 1
        assert other.got == []
        await intervals(1)
        assert reads.count == 2

    run(body)


def test_page_that_opens_while_the_reading_of_a_page_that_went_is_under_way_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = Reads(monkeypatch, at_once=False)

    async def body() -> None:
        stream = made()
        _, lost = opened(stream)
        lost()
        page, lost = opened(stream)
        await intervals(0.5)
        assert (reads.count, page.got) == (1, [])
        for count in (1, 2, 3):
            reads.waiting.pop()(Rows(b""))
            assert len(page.got) == count
            await intervals(1)
            assert reads.count == count + 1
        lost()
        reads.waiting.pop()(Rows(b""))
        await intervals(10)
        assert reads.count == 4, "nobody is there any more"

    run(body)


def test_one_page_too_many_is_refused(reads: Reads) -> None:
    async def body() -> None:
        stream = made(Dashboard(max_pages=2))
        _, lost = opened(stream)
        opened(stream)
        answers: list[Response] = []
        stream(REQUEST, answers.append)
        assert answers[0].status == 503
        assert "Retry-After: 30" in answers[0].headers
        lost()
        opened(stream)

    run(body)
    assert reads.count


def test_all_pages_end_with_the_settings_that_they_were_opened_under(reads: Reads) -> None:
    async def body() -> None:
        stream = made()
        page, _ = opened(stream)
        stream.close()
        assert page.ended
        answers: list[Response] = []
        stream(REQUEST, answers.append)
        assert answers[0].status == 503

    run(body)
    assert reads.count == 1


def test_own_fault_is_logged_and_the_next_tick_tries_again(
    reads: Reads, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Rows) -> None:
        raise RuntimeError("our fault")

    async def body() -> None:
        monkeypatch.setattr(stream_module.watched, "services", fail)
        page, _ = opened(made())
        assert page.got == []
        monkeypatch.undo()
        monkeypatch.setattr(stream_module, "read", reads)
        await intervals(1.1)
        assert len(page.got) == 1

    run(body)
    assert {record.message for record in caplog.records} == {"update of open pages failed"}
