"""How long a part of the pipeline has not answered: some seconds of it are no reason to end a drill."""

import time
from collections.abc import Callable
from typing import Final

from exporter.drills.site import SiteError

# a Prometheus that reloads its rules, or is started again
SECONDS: Final = 30.0


class Silence:
    """Counts from the first failure in a row."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    def bear(self, err: SiteError) -> None:
        """Take a failure. Raises SiteError with its reason once there was nothing else for SECONDS."""
        now = self._clock()
        if self._since is None:
            self._since = now
        if now - self._since >= SECONDS:
            raise SiteError(f"{err}; for {now - self._since:.0f} s") from err

    def end(self) -> None:
        """Take an answer."""
        self._since = None
