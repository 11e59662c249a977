"""How long each phase of an attempt took, whatever became of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from exporter.probes.attempt import Attempt, AttemptError, Certificates, Reason, reason_of

_DOING: Final = {
    "connect": "the connection was not made",
    "tls": "the TLS handshake was not done",
    "processing": "no answer had begun",
    "transfer": "the answer was not whole",
    "answer": "no answer had come",
}


class Stopwatch:
    """Notes the phases of one attempt one after the other; a phase that comes again, as in a redirect, adds up.

    What an attempt learns on the way stands here too, so that it is told when the attempt fails later.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = 0.0
        self.phase = ""
        """The phase that runs, empty for none."""
        self.phases: dict[str, float] = {}
        self.facts: dict[str, float] = {}
        self.certificates: Certificates | None = None

    def enter(self, phase: str) -> None:
        """End the phase that runs and begin this one; it is there from now on, even if it never ends."""
        now = self._clock()
        if self.phase:
            self.phases[self.phase] += now - self._since
        self.phase, self._since = phase, now
        if phase:
            self.phases.setdefault(phase, 0.0)

    def stop(self) -> None:
        """End the phase that runs."""
        self.enter("")

    def attempt(self, reason: Reason | None, detail: str = "") -> Attempt:
        """Return the attempt that ends now for this reason, with all that was noted; None is ok."""
        self.stop()
        return Attempt.of(reason, detail, self.phases, self.certificates, self.facts)


async def measure(work: Callable[[Stopwatch], Awaitable[None]], deadline: float) -> Attempt:
    """Do the work of an attempt until a moment of the loop's clock, and return what came of it: ok when it returns.

    An AttemptError or an OSError ends it with its reason; being cancelled at the deadline is its time-out.
    """
    loop = asyncio.get_running_loop()
    watch = Stopwatch(loop.time)
    begun = loop.time()
    try:
        async with asyncio.timeout_at(deadline):
            await work(watch)
    except AttemptError as err:
        return watch.attempt(err.reason, err.detail)
    except TimeoutError as err:
        if err.errno is not None:  # the kernel's own, of a connection that it gave up
            return watch.attempt(Reason.TIMEOUT, str(err))
        return _timed_out(watch, deadline - begun)
    except OSError as err:
        return watch.attempt(reason_of(err), str(err))
    except asyncio.CancelledError:
        if loop.time() < deadline:
            raise
        return _timed_out(watch, deadline - begun)
    return watch.attempt(None)


def _timed_out(watch: Stopwatch, seconds: float) -> Attempt:
    if watch.phase == "resolve":
        return watch.attempt(Reason.RESOLVER_FAILED, f"the look-up did not end within {seconds:.3g} s")
    return watch.attempt(Reason.TIMEOUT, f"after {seconds:.3g} s {_DOING.get(watch.phase, 'it was not done')}")
