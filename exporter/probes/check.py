"""The seam of a check: one subject that the engine asks again and again, on a timer of its own."""

import os
from typing import ClassVar, NamedTuple, Protocol

from exporter.probes.attempt import Attempt


class Schedule(NamedTuple):
    """When a check is tried; seconds."""

    interval: float
    timeout: float
    """Of one attempt; a retry has this time anew."""
    retries: int
    """Further tries, at most, after one that failed."""
    retry_delay: float
    """From a failed try to the next."""


class Check(Protocol):
    """One check of one target."""

    kind: ClassVar[str]
    """http, tcp, tls, dns, unit or process: a label."""

    @property
    def name(self) -> str:
        """What the settings call it: the label `check`, one of its kind only."""
        ...

    @property
    def target(self) -> str:
        """What is asked, for the log; without a secret."""
        ...

    @property
    def schedule(self) -> Schedule:
        """When it is tried."""
        ...

    async def attempt(self, deadline: float) -> Attempt:
        """Try once; `deadline` is a moment of the loop's clock.

        Runs on the daemon's loop: it never blocks, and it ends when it is cancelled, which the engine does at the
        deadline (reason timeout). An AttemptError ends it with that reason, an OSError with `reason_of` it; any other
        exception is our fault: internal_error, which says nothing about the target.
        """
        ...


def random_share() -> float:
    """Return a random number, 0 to 1 (the module `random` would bring OpenSSL)."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
