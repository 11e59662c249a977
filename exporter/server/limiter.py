"""The web configuration's rate limit: so many requests of all clients together."""

import time
from collections.abc import Callable
from typing import Final

from exporter.server.http import Handler, Reply, Request, Response

_LIMITED: Final = Response(429, b"429: over the rate_limit of the web configuration\n", headers=("Retry-After: 1",))


class Limiter:
    """A handler in front of another: lets a burst through, then one request every `seconds`."""

    def __init__(
        self, handler: Handler, seconds: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._handler = handler
        self._seconds = seconds
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._counted = clock()

    def __call__(self, request: Request, reply: Reply) -> None:
        """Let the request through or refuse it."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._counted) / self._seconds)
        self._counted = now
        if self._tokens < 1:
            reply(_LIMITED)
            return
        self._tokens -= 1
        self._handler(request, reply)
