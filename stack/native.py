"""The stack without Docker: start the parts, watch them, stop them."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from stack import answers
from stack.children import Child
from stack.failures import StackError
from stack.parts import Part
from stack.settings import Settings
from stack.signals import Signals, StopAsked

READY_SECONDS: Final = 30
# the first scrape comes at a moment of its own within the interval of 15 s, and so does the rule that needs it
UP_SECONDS: Final = 60
LEFT_OUT: Final = (
    "Left out: Grafana and Vault (they come with Docker: {why}); Slack (no token: the relay shows what it would send)."
)


def say(text: str) -> None:
    """Print a line at once. A terminal that is gone is no reason to leave parts running."""
    with contextlib.suppress(OSError):
        os.write(1, f"{text}\n".encode())


class Stack:
    """The running parts. They are started, watched and stopped in one thread."""

    def __init__(self, settings: Settings, parts: Sequence[Part], signals: Signals, why: str) -> None:
        """Take what to run, and why it is not run with Docker."""
        self._settings = settings
        self._why = why
        self._parts = parts
        self._signals = signals
        self._children: list[Child] = []

    def run(self) -> int:
        """Run until somebody wants it to end (returns 0) or a part ends by itself or fails to start (1). Blocks."""
        try:
            self._start()
            while True:
                self._pause(0.5)
        except StopAsked as why:
            say(f"\nStopping: {why}.")
            return 0
        except StackError as err:
            say(f"\n{err}\nStopping the rest.")
            return 1
        finally:
            self._stop()
            say("Stopped.")

    def _start(self) -> None:
        begun = time.monotonic()
        *first, prometheus = self._parts
        # Prometheus comes last: what it finds closed it looks at again only an interval later
        for parts in (first, [prometheus]):
            say(f"Starting {', '.join(part.title for part in parts)}")
            self._children += [Child(part, self._settings.log(part.name)) for part in parts]
            self._wait_ready(parts)
        say("Waiting for the first scrape of each")
        port = self._settings.ports["prometheus"]
        self._wait(lambda: not answers.missing_jobs(port), UP_SECONDS, self._not_up)
        say(self._table())
        say(LEFT_OUT.format(why=self._why))
        say(f"Everything runs, after {time.monotonic() - begun:.0f} s. Ctrl-C stops it.")

    def _wait_ready(self, parts: Sequence[Part]) -> None:
        waiting = list(parts)

        def all_ready() -> bool:
            waiting[:] = [p for p in waiting if not answers.is_ready(self._settings.ports[p.name], p.ready)]
            return not waiting

        self._wait(all_ready, READY_SECONDS, lambda: self._child(waiting[0]).story())

    def _wait(self, done: Callable[[], bool], seconds: float, story: Callable[[], str]) -> None:
        """Ask until `done`. Raises StackError with the `story` of what is not, after `seconds`."""
        deadline = time.monotonic() + seconds
        while not done():
            self._pause(0.1)
            if time.monotonic() > deadline:
                raise StackError(f"Not ready after {seconds:.0f} s: {story()}")

    def _pause(self, seconds: float) -> None:
        self._signals.pause(seconds)
        for child in self._children:
            if not child.running():
                raise StackError(child.story())

    def _child(self, part: Part) -> Child:
        return next(child for child in self._children if child.part == part)

    def _not_up(self) -> str:
        jobs = answers.missing_jobs(self._settings.ports["prometheus"])
        return f"up is not 1 for {', '.join(jobs)}; see {self._settings.url('prometheus')}/targets"

    def _table(self) -> str:
        """Return the addresses, with what people look at first on top."""
        rows = [(self._settings.url(part.name), f"{part.title}: {part.shows}") for part in reversed(self._parts)]
        width = max(len(url) for url, _ in rows)
        return "\n".join(["", *(f"  {url:{width}}  {text}" for url, text in rows), ""])

    def _stop(self) -> None:
        """End the parts in the order of the data, backwards: nobody is left who would report the others missing."""
        for child in reversed(self._children):
            child.stop()
