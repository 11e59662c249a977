"""Events: what changed, and every way in which this is not known."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.clients.docker import Engine
from exporter.clients.docker_events import LEASE_SECONDS, MAX_BYTES, REFUSED_SECONDS, Watch
from tests.support.client import until
from tests.support.fake_engine import STREAM_HEAD, FakeContainer, FakeEngine, chunk, closing, failure, saying, whole


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "docker.sock", [FakeContainer("web"), FakeContainer("db")]) as fake:
        yield fake


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def look(fake: FakeEngine, clock: Clock) -> Callable[[], set[str] | None]:
    """Return what looks once, after the first look, which knows nothing."""
    watch = Watch(Engine(str(fake.path)), clock)

    def look() -> set[str] | None:
        found = watch.look(time.monotonic() + 5)
        look.trouble = watch.trouble  # type: ignore[attr-defined]
        return None if found is None else {one.name for one in fake.containers if one.id in found}

    assert look() is None
    return look


def streams(fake: FakeEngine) -> Callable[[], bool]:
    return lambda: bool(fake._streams)


def test_first_look_knows_nothing_and_later_ones_what_happened(
    fake: FakeEngine, look: Callable[[], set[str] | None]
) -> None:
    until(streams(fake), "the stream")
    assert look() == set()
    fake.emit("die", "web")
    fake.emit("health_status: unhealthy", "web")
    assert look() == {"web"}
    fake.emit("start", "web")
    fake.emit("start", "db")
    assert look() == {"web", "db"}
    assert look() == set()
    assert fake.count("/events") == 1, "one stream for all"


def test_event_in_pieces_counts_when_it_is_whole(fake: FakeEngine, look: Callable[[], set[str] | None]) -> None:
    until(streams(fake), "the stream")
    line = b'{"Actor":{"ID":"%s"}}\n' % fake.container("db").id.encode()
    fake._streams[0].sendall(chunk(line[:20]))
    assert look() == set()
    fake._streams[0].sendall(chunk(line[20:]))
    assert look() == {"db"}


def test_engine_that_was_restarted_leaves_all_in_doubt_and_events_come_again(
    fake: FakeEngine, look: Callable[[], set[str] | None]
) -> None:
    until(streams(fake), "the stream")
    fake.drop_all()
    assert look() is None
    until(streams(fake), "the stream")
    fake.emit("die", "web")
    assert look() == {"web"}


def test_stream_is_renewed_in_time_without_a_gap(
    fake: FakeEngine, look: Callable[[], set[str] | None], clock: Clock
) -> None:
    until(streams(fake), "the stream")
    clock.ahead = LEASE_SECONDS * 0.6
    fake.emit("start", "db")
    assert look() == {"db"}
    until(lambda: fake.count("/events") == 2, "another stream")
    until(lambda: len(fake._streams) == 1 and fake.open == 1, "the old one is closed")
    fake.emit("start", "web")
    assert look() == {"web", "db"}, "from a little before the last look on: one event twice does no harm"


@pytest.mark.parametrize("seconds", [-30, LEASE_SECONDS + 1], ids=["clock set back", "not looked for long"])
def test_time_that_is_not_covered_leaves_all_in_doubt(
    fake: FakeEngine, look: Callable[[], set[str] | None], clock: Clock, seconds: float
) -> None:
    until(streams(fake), "the stream")
    clock.ahead = seconds
    assert look() is None
    assert look() == set()


def test_flood_leaves_all_in_doubt(fake: FakeEngine, look: Callable[[], set[str] | None]) -> None:
    until(streams(fake), "the stream")
    stream = fake._streams[0]
    stream.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:  # until the reader is behind
            sent += stream.send(chunk(b'{"Actor":{"ID":"x"}}\n' * 3000))
    assert sent > MAX_BYTES
    assert look() is None
    until(lambda: fake.count("/events") == 2, "another stream")


REFUSALS = {
    "403": saying(failure("403 Forbidden", "no events")),
    "404": saying(failure("404 Not Found", "no such page")),
    "garbage": closing(b"\0" * 99),
    "no JSON": saying(STREAM_HEAD + chunk(b"<html>\n")),
    "no event": saying(STREAM_HEAD + chunk(b'{"Actor":null}\n')),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_engine_that_gives_no_events_is_asked_again_only_after_a_while(
    fake: FakeEngine, clock: Clock, case: str
) -> None:
    fake.ill["/events"] = REFUSALS[case]
    watch = Watch(Engine(str(fake.path)), clock)
    assert watch.look(time.monotonic() + 5) is None
    until(lambda: watch.look(time.monotonic() + 5) is None, "the refusal")
    assert watch.trouble is not None
    assert "/events" in watch.trouble
    for _ in range(5):
        assert watch.look(time.monotonic() + 5) == set()
    assert fake.count("/events") == 1
    fake.ill.clear()
    clock.ahead = REFUSED_SECONDS + 1
    assert watch.look(time.monotonic() + 5) == set()
    until(streams(fake), "the stream")
    fake.emit("die", "db")
    assert watch.look(time.monotonic() + 5) == {fake.container("db").id}
    assert watch.trouble is None


def test_streams_that_end_at_once_are_given_up_after_some(
    fake: FakeEngine, look: Callable[[], set[str] | None]
) -> None:
    until(streams(fake), "the stream")
    fake.ill["/events"] = saying(whole(b""))
    fake.drop_all()
    until(lambda: look() == set() and look.trouble is not None, "it gives up")  # type: ignore[attr-defined]
    asked = fake.count("/events")
    assert asked <= 1 + Watch.MAX_EARLY_ENDS
    look()
    assert fake.count("/events") == asked
