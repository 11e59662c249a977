"""The sampler: reads usage on its own timer and adds it to the history.

It runs on a thread of its own, so that a dead mount can hold up nothing but itself.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from exporter.history.keys import Key
from exporter.history.usage import History, Reading, Sample
from exporter.logs import Log

log = Log(__name__)

Source = Callable[[], Mapping[Key, float]]
"""Gives what others know at the moment of a sample; called on the sampler's thread."""


class Sampler:
    """The thread that adds a sample to the history at start, a second later, and then at every interval."""

    FIRST_SECONDS: Final = 1.0

    def __init__(
        self, history: History, interval: float, read: Callable[[], Reading], sources: Sequence[Source] = ()
    ) -> None:
        self._history = history
        self._interval = interval
        self._read = read
        self._sources = sources
        self._failing: set[object] = set()
        self._is_stopped = False
        self._running = threading.Lock()  # what Event.wait does in Python, cold, costs as much as reading a file
        self._running.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True, name="sampler")

    def start(self) -> None:
        """Take the first sample on the new thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end; does not wait for it. What it is just reading is not kept."""
        self._is_stopped = True
        if self._running.locked():
            self._running.release()

    def _run(self) -> None:
        wait = self.FIRST_SECONDS
        while True:
            try:
                self._take()
                self._failing.discard(self)
            except Exception as err:  # noqa: BLE001 -- the sampler's boundary: the next tick tries again
                self._tell(self, "sample failed", err)
            if self._running.acquire(timeout=wait):
                return
            wait = self._interval

    def _take(self) -> None:
        sample = Sample(time.monotonic(), *self._read())
        if self._is_stopped:  # the history may have another sampler by now
            return
        values: dict[Key, float] = {}
        for source in self._sources:
            try:
                values.update(source())
                self._failing.discard(source)
            except Exception as err:  # noqa: BLE001 -- one sick source costs its own values only
                self._tell(source, "source of the history failed", err)
        self._history.add(sample, values)

    def _tell(self, who: object, event: str, err: Exception) -> None:
        """Log a failure when it begins."""
        if who not in self._failing:
            log.error(event, exc=err)
        self._failing.add(who)
