"""What may not be sent now, and until when: paces, failures, refused tokens, channels that cannot be used.

Kept in memory, on the monotonic clock: a restart tries everything again, and a clock that jumps holds nothing up.
"""

import random
from collections.abc import Callable, Collection
from typing import Final

from exporter.relay.outbox import Closed
from exporter.relay.pace import Pace
from exporter.relay.settings import SlackSettings

# the longest wait, in first waits. So long, too, is a token left alone that Slack refused, should it have been Slack's
# fault, and a channel that could not be used: somebody has to invite the app, or to make the channel
LONGEST: Final = 60


class Hold:
    """Lives on the delivery's event loop."""

    def __init__(self, settings: SlackSettings, clock: Callable[[], float]) -> None:
        self.pace = Pace(
            settings.posts_per_second, settings.burst, settings.posts_per_minute, settings.updates_per_minute, clock
        )
        self._senders = settings.senders
        self._first_wait = float(settings.retry_after)
        self._clock = clock
        # episodes that failed, with their number of tries and when the next one is
        self._failed: dict[int, tuple[int, float]] = {}
        # episodes that all others go before
        self._last: set[int] = set()
        self._row = 0
        self._quiet_until = 0.0
        self._refused: tuple[str, float] | None = None
        # when the earliest of what was held at the last look may go
        self._next: float | None = None

    def allows(self, version: str) -> bool:
        """Whether a token may be used: not for a while after Slack refused it."""
        if self._refused is None or self._refused[0] != version or self._clock() >= self._refused[1]:
            return True
        self._next = self._refused[1]
        return False

    def refuse(self, version: str) -> None:
        """Hold everything until there is another token, or a while has passed."""
        self._refused = version, self._clock() + LONGEST * self._first_wait

    def fail(self, episode: int) -> None:
        """Leave an episode alone for a while that grows, and all others too: most likely they would fail as well."""
        now = self._clock()
        tries = self._failed.get(episode, (0, 0.0))[0] + 1
        self._failed[episode] = tries, now + self._first_wait * backoff(tries)
        self._row += 1
        self._quiet_until = now + self._first_wait * backoff(self._row)

    def close(self, channel: str, episode: int) -> None:
        """Leave a channel alone that cannot be used."""
        if channel:
            self.pace.pause(channel, LONGEST * self._first_wait)
        self._failed[episode] = 1, self._clock() + LONGEST * self._first_wait

    def put_last(self, episode: int) -> None:
        """Let all others go before an episode, should it alone be why Slack refused a token."""
        self._last.add(episode)

    def succeed(self, episode: int) -> None:
        """Go on at full speed."""
        self._failed.pop(episode, None)
        self._last.discard(episode)
        self._row, self._quiet_until = 0, 0.0

    def closed(self, groups: Collection[int]) -> Closed | None:
        """Return what cannot be called now, while these groups are being served; None when nothing can."""
        now = self._clock()
        channels, posts, updates = self.pace.closed_channels(), self.pace.posts_in(), self.pace.update_in()
        waits = [at - now for _, at in self._failed.values()] + [self._quiet_until - now]
        waits += [posts, updates, *channels.values()]
        # a wait may be too short for the clock to tell: what is closed is looked at again all the same
        self._next = min((now + wait for wait in waits if wait > 0), default=None)
        # after a failure one call at a time, until one succeeds
        if now < self._quiet_until or len(groups) >= (1 if self._row else self._senders):
            return None
        return Closed(
            groups=groups,
            episodes=[episode for episode, (_, at) in self._failed.items() if at > now],
            channels=list(channels),
            posts=posts > 0,
            updates=updates > 0,
            last=list(self._last),
        )

    def next_in(self) -> float | None:
        """Return the seconds until something that was held at the last look may go; None when nothing was."""
        return None if self._next is None else max(0.0, self._next - self._clock())


def backoff(tries: int) -> float:
    """Return the wait after so many failures in a row, in first waits: doubling from 1 to 60, less up to a quarter."""
    return min(float(LONGEST), float(2 ** min(tries - 1, 6))) * random.uniform(0.75, 1)  # noqa: S311 -- no secret
