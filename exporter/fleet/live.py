"""A view that redraws in place until Ctrl-C, as top(1) does, whatever its source and its terminal do meanwhile."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Generic, NamedTuple, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live

from exporter.fleet.tables import show

T = TypeVar("T")

# how soon a window's new size, and the age of what is shown, are seen
_LOOK_SECONDS: Final = 0.2


class Seen(NamedTuple, Generic[T]):
    """What there is to draw."""

    last: T | None
    """What the source told last; None before."""
    at: float
    """When that was, seconds since the epoch; 0 before."""
    fault: str
    """Why there is nothing newer; empty while all is well."""


class Watcher(Generic[T]):
    """Fetches on a daemon thread, one fetch at a time: a source that hangs never holds the screen or Ctrl-C up."""

    def __init__(self, fetch: Callable[[], T], errors: type[Exception], interval: float) -> None:
        """Take what fetches, what it raises when the source is away, and the seconds between two beginnings."""
        self._fetch = fetch
        self._errors = errors
        self._interval = interval
        self.seen: Seen[T] = Seen(None, 0.0, "")
        self.rounds = 0
        """Fetches that ended, well or not."""
        self._mistake: Exception | None = None

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        threading.Thread(target=self._run, daemon=True, name="watch").start()

    def look(self) -> Seen[T]:
        """Return what there is to draw. Raises what the thread did not expect: that is a mistake of ours."""
        if self._mistake is not None:
            raise self._mistake
        return self.seen

    def _run(self) -> None:
        while True:
            begun = time.monotonic()
            try:
                self.seen = Seen(self._fetch(), time.time(), "")
            except self._errors as err:
                self.seen = self.seen._replace(fault=str(err))
            except Exception as err:  # noqa: BLE001 -- raised again by `look`
                self._mistake = err
                return
            self.rounds += 1
            time.sleep(max(0.0, begun + self._interval - time.monotonic()))


def watch(
    console: Console, watcher: Watcher[T], draw: Callable[[Seen[T]], RenderableType], rounds: int | None = None
) -> bool:
    """Show what the watcher sees until Ctrl-C, SIGTERM or SIGHUP, or so many rounds; return whether somebody ended it.

    In a terminal on a screen of its own, the view as it was last stays behind; elsewhere each round is written once.
    """
    watcher.start()
    ended = False
    with _ended_by_signals():
        try:
            if console.is_terminal:
                _redraw(console, watcher, draw, rounds)
            else:
                _append(console, watcher, draw, rounds)
        except KeyboardInterrupt:
            ended = True
    if console.is_terminal and watcher.rounds:
        console.print(draw(watcher.seen))
    return ended


def _redraw(
    console: Console, watcher: Watcher[T], draw: Callable[[Seen[T]], RenderableType], rounds: int | None
) -> None:
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(draw(watcher.look()), refresh=True)
            if rounds is not None and watcher.rounds >= rounds:
                return
            time.sleep(_LOOK_SECONDS)


def _append(
    console: Console, watcher: Watcher[T], draw: Callable[[Seen[T]], RenderableType], rounds: int | None
) -> None:
    shown = 0
    while rounds is None or shown < rounds:
        watcher.look()
        if watcher.rounds > shown:
            shown = watcher.rounds
            show(console, draw(watcher.seen))
        time.sleep(_LOOK_SECONDS / 4)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end like Ctrl-C: else they would leave the terminal on the other screen."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
