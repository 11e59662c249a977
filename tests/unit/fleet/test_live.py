"""The live view where there is no terminal, and what is drawn; in a terminal: tests/integration/test_fleet_live.py."""

import io
import threading

import pytest
from rich.console import Console
from rich.text import Text

from exporter.fleet.live import Seen, Watcher, watch
from exporter.fleet.model import SourceError
from exporter.fleet.tables import console_for


def draw(seen: Seen[str]) -> Text:
    return Text(f"{seen.last} {seen.fault}".strip())


def console() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return console_for(stream), stream


def test_each_round_is_written_once_and_a_source_that_goes_away_and_comes_back_is_survived() -> None:
    outcomes: list[str | SourceError] = ["one", SourceError("gone"), "three"]
    told = threading.Event()

    def fetch() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, SourceError):
            raise outcome
        return outcome

    # at its own pace: a round waits until the one before it stands there
    def slow_draw(seen: Seen[str]) -> Text:
        told.set()
        return draw(seen)

    def fetch_when_drawn() -> str:
        if len(outcomes) < 3:
            assert told.wait(30)
            told.clear()
        return fetch()

    where, stream = console()
    ended = watch(where, Watcher(fetch_when_drawn, SourceError, 0.0), slow_draw, 3)
    assert not ended
    assert stream.getvalue().splitlines() == ["one", "one gone", "three"]


def test_a_mistake_of_ours_is_not_hidden_in_the_thread() -> None:
    def fetch() -> str:
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        watch(console()[0], Watcher(fetch, SourceError, 1.0), draw, 1)
