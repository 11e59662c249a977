"""Threads that call Slack, so that neither a slow answer nor a hung one holds up intake, pages or the end.

Daemon threads of ours: those of an executor are joined at exit, and a call may hang for its whole time-out.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Senders:
    """A few threads; each is made when it is needed first."""

    def __init__(self, most: int, name: str = "slack") -> None:
        self._most, self._name = most, name
        self._started = 0
        self.busy = 0
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    @property
    def idle(self) -> bool:
        """Whether a call would begin at once."""
        return self.busy < self._most

    def submit(self, call: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run `call` on a thread, then `done` with its result or error on the running loop."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            result: T | Exception
            try:
                result = call()
            except Exception as err:  # noqa: BLE001 -- the thread's boundary: whoever asked decides
                result = err
            try:
                loop.call_soon_threadsafe(self._finish, done, result)
            except RuntimeError:  # the loop is closed: the process is ending
                return

        self.busy += 1
        if self._started < min(self.busy, self._most):
            self._started += 1
            threading.Thread(target=self._work, daemon=True, name=f"{self._name}-{self._started}").start()
        self._calls.put(run)

    def _finish(self, done: Callable[[T | Exception], None], result: T | Exception) -> None:
        self.busy -= 1
        done(result)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def stop(self) -> None:
        """Let the threads end once they are back; does not wait."""
        for _ in range(self._started):
            self._calls.put(None)
