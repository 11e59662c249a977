"""Runs the checks, each on a timer of its own, on the running event loop.

No check waits for another: an attempt is a task, its deadline a timer beside it. What ignores its cancellation is
reported, and not started again until it has ended.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from exporter.logs import Log
from exporter.probes.attempt import Attempt, AttemptError, Outcome, Reason, reason_of
from exporter.probes.check import Check, random_share

log = Log(__name__)

# the first attempt comes within this time, also of a check that is asked once a day
FIRST_SECONDS: Final = 15.0
# how many checks of one interval begin at one moment
TOGETHER: Final = 5
# what a cancelled attempt gets to close its sockets
GRACE_SECONDS: Final = 1.0
# a deadline seen this late means that this process was stopped: nobody knows what the attempt would have come to
STALL_SECONDS: Final = 1.0


class State:
    """What is known of one check; read from any thread."""

    __slots__ = ("attempts", "check", "failures", "last", "last_attempt", "retries", "since", "version")

    def __init__(self, check: Check) -> None:
        self.check = check
        self.last: Attempt | None = None
        """The last result, retries behind it; None before the first."""
        self.since: float | None = None
        """When its outcome and reason became what they are, seconds since the epoch."""
        self.last_attempt: float | None = None
        """When the last attempt ended, seconds since the epoch."""
        self.attempts = 0
        """All that came to an end, retries included."""
        self.retries = 0
        self.failures: dict[Reason, int] = {}
        """Attempts that failed, retries included; not those that could not ask."""
        self.version = 0
        """Counts the changes."""

    @property
    def up(self) -> bool | None:
        """Whether the last result was ok; None where nothing was asked."""
        last = self.last
        return None if last is None or last.outcome is Outcome.NOT_ASKED else last.outcome is Outcome.OK


class _Runner:
    """One check, its timer and its attempt under way."""

    def __init__(self, check: Check, wall: Callable[[], float]) -> None:
        self.state = State(check)
        self._check = check
        self._schedule = check.schedule
        self._wall = wall
        self._next = 0.0
        self._tries_left = 0
        self._deadline = 0.0
        self._slot: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Of the attempt: its deadline, its grace, or the delay before a retry."""
        self._task: asyncio.Task[Attempt] | None = None
        self._is_retry = False
        self._is_given_up = False
        self._cut_at: float | None = None
        """When the attempt under way was cancelled for its deadline."""

    def start(self, share: float) -> None:
        """Begin: at this share of the interval, and once before where that is long."""
        loop = asyncio.get_running_loop()
        self._next = loop.time() + share * self._schedule.interval
        first = loop.time() + share * min(self._schedule.interval, FIRST_SECONDS)
        self._slot = loop.call_at(first, self._due)

    def stop(self) -> None:
        """End; what is under way counts for nothing."""
        task, self._task = self._task, None
        for timer in (self._slot, self._timer):
            if timer is not None:
                timer.cancel()
        if task is not None:
            task.cancel()

    def _due(self) -> None:
        loop = asyncio.get_running_loop()
        now, interval = loop.time(), self._schedule.interval
        if self._next <= now:  # what was missed, as while this process was stopped, is not made up for
            self._next += ((now - self._next) // interval + 1) * interval
        self._slot = loop.call_at(self._next, self._due)
        if self._is_given_up:
            self._record(Attempt.of(Reason.STILL_RUNNING, "the attempt before has not ended since it was cancelled"))
        elif self._task is None and self._timer is None:
            self._tries_left = self._schedule.retries
            self._is_retry = False
            self._try()

    def _try(self) -> None:
        loop = asyncio.get_running_loop()
        self._cut_at = None
        self._deadline = loop.time() + self._schedule.timeout
        self._timer = loop.call_at(self._deadline, self._overdue)
        self._task = task = loop.create_task(self._attempt(self._deadline))
        task.add_done_callback(self._ended)

    async def _attempt(self, deadline: float) -> Attempt:
        try:
            return await self._check.attempt(deadline)
        except AttemptError as err:
            return Attempt.of(err.reason, err.detail)
        except TimeoutError as err:  # the kernel's and asyncio's are one class
            return Attempt.of(Reason.TIMEOUT, str(err))
        except OSError as err:
            return Attempt.of(reason_of(err), str(err))
        except Exception as err:  # noqa: BLE001 -- the engine's boundary: our own fault is no news of the target
            if self.state.last is None or self.state.last.reason is not Reason.INTERNAL_ERROR:
                log.error("check broke", exc=err, check=self._check.name, kind=self._check.kind)
            return Attempt.of(Reason.INTERNAL_ERROR, f"{type(err).__name__}: {err}")

    def _overdue(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is not None:
            self._cut_at = loop.time()
            self._timer = loop.call_later(GRACE_SECONDS, self._give_up)
            self._task.cancel()

    def _give_up(self) -> None:
        self._timer = None
        self._is_given_up = True
        self._tries_left = 0
        log.error("check ignores its cancellation", check=self._check.name, kind=self._check.kind)
        self._judge(self._timed_out())

    def _timed_out(self) -> Attempt:
        return Attempt.of(Reason.TIMEOUT, f"no end within {self._schedule.timeout:g} s")

    def _ended(self, task: "asyncio.Task[Attempt]") -> None:
        if task is not self._task:  # stopped
            return
        self._task = None
        if self._is_given_up:
            self._is_given_up = False
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        result = self._result_of(task)
        if (self._cut_at or asyncio.get_running_loop().time()) - self._deadline <= STALL_SECONDS:
            self._judge(result)
        elif result.outcome is Outcome.OK:  # how long that took cannot be told
            self._judge(result._replace(phases={}))
        else:
            self._try()

    def _result_of(self, task: "asyncio.Task[Attempt]") -> Attempt:
        was_cut = self._cut_at is not None
        if task.cancelled():
            return self._timed_out() if was_cut else Attempt.of(Reason.INTERNAL_ERROR, "it cancelled itself")
        result = task.result()
        # told to end, it may have its own words for that; what is good only then is not
        return self._timed_out() if was_cut and result.outcome is Outcome.OK else result

    def _judge(self, result: Attempt) -> None:
        """Count an attempt; its result counts unless it is to be tried again."""
        state = self.state
        state.attempts += 1
        state.retries += self._is_retry
        state.last_attempt = self._wall()
        state.version += 1
        if result.outcome is Outcome.FAILED and result.reason is not None:
            state.failures[result.reason] = state.failures.get(result.reason, 0) + 1
            if self._tries_left > 0:
                self._tries_left -= 1
                self._timer = asyncio.get_running_loop().call_later(self._schedule.retry_delay, self._try_again)
                return
        self._record(result)

    def _try_again(self) -> None:
        self._is_retry = True
        self._try()

    def _record(self, result: Attempt) -> None:
        """Make this the check's result; log it where it is another than before."""
        state, before = self.state, self.state.last
        state.version += 1
        state.last = result
        if before is not None and (before.outcome, before.reason) == (result.outcome, result.reason):
            return
        state.since = self._wall()
        fields = {"check": self._check.name, "kind": self._check.kind, "target": self._check.target}
        if result.reason is None:
            log.info("check ok", **fields)
        else:
            event = "check failed" if result.outcome is Outcome.FAILED else "check not possible"
            log.warning(event, **fields, reason=result.reason.value, detail=result.detail)


class Engine:
    """All checks; to be started and stopped on the loop that they run on."""

    def __init__(
        self,
        checks: Iterable[Check],
        wall: Callable[[], float] = time.time,
        share: Callable[[], float] = random_share,
    ) -> None:
        self._runners = tuple(_Runner(check, wall) for check in checks)
        self._share = share
        self.states = tuple(runner.state for runner in self._runners)
        """One for each check, in their order."""

    def start(self) -> None:
        """Begin at random moments, a few checks at each: to wake this process up costs as much as a small check."""
        moments = max(-(-len(self._runners) // TOGETHER), 1)
        first = self._share()
        for place, runner in enumerate(self._runners):
            runner.start((first + place % moments / moments) % 1.0)

    def stop(self) -> None:
        """End; what is under way counts for nothing."""
        for runner in self._runners:
            runner.stop()
