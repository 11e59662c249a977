"""The thread that looks at all processes at every interval."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from exporter.logs import Log
from exporter.processes.census import Census
from exporter.processes.scan import Scan
from exporter.settings.exporter import Paths
from exporter.settings.processes import Match, ProcessGroupsSettings

log = Log(__name__)

MAX_WATCHED: Final = 4096


class Scanner:
    """Scans at start, a second later, and then at every interval; a scrape shows what the last one found."""

    FIRST_SECONDS: Final = 1.0
    STALE_INTERVALS: Final = 3

    def __init__(
        self,
        settings: ProcessGroupsSettings,
        paths: Paths,
        matches: Sequence[Match] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        make: Callable[[ProcessGroupsSettings, Paths], Census] = Census,
    ) -> None:
        """Look below the trees of `paths`; `matches` are those that `count` will be asked for."""
        self._interval = settings.interval
        self._census = make(settings, paths)
        self._clock = clock
        self._watched = dict.fromkeys(matches)
        self._census.watch(self._watched)
        self._last: Scan | None = None
        self._running = threading.Lock()  # as in the sampler: cheaper than an Event
        self._running.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True, name="processes")

    def start(self) -> None:
        """Take the first scan on the new thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the threads end; does not wait for them."""
        if self._running.locked():
            self._running.release()

    @property
    def last(self) -> Scan | None:
        """The newest scan; None before the first, and when it is over three intervals old. From any thread."""
        scan = self._last
        if scan is None or self._clock() - scan.monotonic > self.STALE_INTERVALS * self._interval + 1:
            return None
        return scan

    def count(self, match: Match) -> int | None:
        """Return how many processes that match run; None while nobody knows. From any thread, at once.

        A match that was not named when this was made is counted from the next scan on.
        """
        if match not in self._watched and len(self._watched) < MAX_WATCHED:
            self._watched = {**self._watched, match: None}
        scan = self.last
        return None if scan is None else scan.counts.get(match)

    def _run(self) -> None:
        wait, failing = self.FIRST_SECONDS, False
        watched = self._watched
        while True:
            try:
                if watched is not self._watched:
                    watched = self._watched
                    self._census.watch(watched)
                self._last = self._census.scan()
                failing = False
            except Exception as err:  # noqa: BLE001 -- the scanner's boundary: the next interval tries again
                if not failing:
                    log.error("scan of processes failed", exc=err)
                failing = True
                self._census.reset()
            if self._running.acquire(timeout=wait):
                self._census.close()
                return
            wait = self._interval
