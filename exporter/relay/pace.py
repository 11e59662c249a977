"""How fast Slack may be asked: token buckets per channel and method, and the pauses that Slack asks for.

Slack takes about one message a second and channel, several hundred a minute in all channels of a workspace, and 50
updates a minute (docs.slack.dev: rate limits, chat.postMessage). Whoever goes on after a 429 risks the app. All times
are the monotonic clock's.
"""

from collections.abc import Callable
from typing import Final

POST: Final = "chat.postMessage"
UPDATE: Final = "chat.update"
# buckets of channels that were quiet so long are full again, and need not be kept
MAX_BUCKETS: Final = 1024


class Bucket:
    """A token bucket: `rate` calls a second on average, `burst` at once."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def ready_in(self, now: float) -> float:
        """Return the seconds until a call may go; 0 when it may."""
        self._fill(now)
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._rate

    def is_full(self, now: float) -> bool:
        """Whether it is as it was when it was new."""
        self._fill(now)
        return self._tokens >= self._burst

    def take(self, now: float) -> None:
        """Count a call."""
        self._fill(now)
        self._tokens -= 1

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Pace:
    """When which call may go: a message once both its channel's bucket and that of all messages let it."""

    def __init__(
        self,
        posts_per_second: float,
        burst: float,
        posts_per_minute: float,
        updates_per_minute: float,
        clock: Callable[[], float],
    ) -> None:
        self._posts_per_second, self._burst = posts_per_second, burst
        self._clock = clock
        self._posts, self._updates = _of_method(posts_per_minute, clock()), _of_method(updates_per_minute, clock())
        self._channels: dict[str, Bucket] = {}
        self._pauses: dict[str, float] = {}

    def pause(self, what: str, seconds: float) -> None:
        """Let nothing of a method or to a channel go for a while; a longer pause stays."""
        self._pauses[what] = max(self._pauses.get(what, 0.0), self._clock() + seconds)

    def pauses(self) -> dict[str, float]:
        """Return the methods and channels that are left alone, with the seconds until they may be called again."""
        now = self._clock()
        return {what: until - now for what, until in self._pauses.items() if until > now}

    def update_in(self) -> float:
        """Return the seconds until a message may be updated."""
        now = self._clock()
        return max(self._updates.ready_in(now), self._paused(UPDATE, now))

    def posts_in(self) -> float:
        """Return the seconds until a message may go to any channel at all."""
        now = self._clock()
        return max(self._posts.ready_in(now), self._paused(POST, now))

    def closed_channels(self) -> dict[str, float]:
        """Return the channels that nothing may go to now, with the seconds until their own pace and pause let it."""
        now = self._clock()
        waits = {name: bucket.ready_in(now) for name, bucket in self._channels.items()}
        for name in self._pauses.keys() - {POST, UPDATE}:
            waits[name] = max(waits.get(name, 0.0), self._paused(name, now))
        return {name: wait for name, wait in waits.items() if wait > 0}

    def take_post(self, channel: str) -> None:
        """Count a message to a channel, which is one to all of them, too."""
        now = self._clock()
        self._posts.take(now)
        if channel not in self._channels:
            self._forget_full(now)
            self._channels[channel] = Bucket(self._posts_per_second, self._burst, now)
        self._channels[channel].take(now)

    def take_update(self) -> None:
        """Count an update."""
        self._updates.take(self._clock())

    def _paused(self, what: str, now: float) -> float:
        return max(0.0, self._pauses.get(what, 0.0) - now)

    def _forget_full(self, now: float) -> None:
        self._pauses = {what: until for what, until in self._pauses.items() if until > now}
        if len(self._channels) >= MAX_BUCKETS:
            self._channels = {name: bucket for name, bucket in self._channels.items() if not bucket.is_full(now)}


def _of_method(calls_per_minute: float, now: float) -> Bucket:
    """Return a method's bucket: a tenth of a minute's calls at once, so that no minute has over 1.1 times as many."""
    return Bucket(calls_per_minute / 60, max(1.0, calls_per_minute / 10), now)
