"""The engine: each check on its own timer, none delays another, and what could not be asked is never down."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from exporter.probes.attempt import Attempt, AttemptError, Outcome, Reason, reason_of
from exporter.probes.check import Schedule, random_share
from exporter.probes.engine import FIRST_SECONDS, Engine, State
from tests.support.virtual_time import loop, run

OK = Attempt.of(None, phases={"connect": 0.25})
Step = Attempt | BaseException | Callable[[], Awaitable[Attempt]]


class FakeCheck:
    """Does what it is told, attempt by attempt; the last step again and again."""

    kind: ClassVar[str] = "tcp"
    target = "192.0.2.1:80"

    def __init__(
        self, *steps: Step, interval: float = 15, timeout: float = 5, retries: int = 0, name: str = "a"
    ) -> None:
        self.name = name
        self.schedule = Schedule(interval, timeout, retries, 1.0)
        self.begun: list[float] = []
        self.running = 0
        self.most = 0
        self._steps = list(steps) or [OK]

    async def attempt(self, deadline: float) -> Attempt:
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        now = asyncio.get_running_loop().time()
        assert deadline == now + self.schedule.timeout
        self.begun.append(now)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if isinstance(step, BaseException):
                raise step
            return step if isinstance(step, Attempt) else await step()
        finally:
            self.running -= 1


def after(seconds: float, result: Attempt = OK) -> Callable[[], Awaitable[Attempt]]:
    async def step() -> Attempt:
        await asyncio.sleep(seconds)
        return result

    return step


async def hang() -> Attempt:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def stubborn(seconds: float) -> Callable[[], Awaitable[Attempt]]:
    """Go on for that long, however often it is cancelled."""

    async def step() -> Attempt:
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return OK

    return step


def play(*checks: FakeCheck, seconds: float, share: float = 0.0) -> list[State]:
    """Run the engine for that long, starting at this share of each interval; return the states."""

    async def main() -> list[State]:
        engine = Engine(checks, wall=lambda: loop().time() + 1e9, share=lambda: share)
        engine.start()
        await asyncio.sleep(seconds)
        states = list(engine.states)
        engine.stop()
        return states

    return run(main())


@pytest.mark.parametrize(
    ("interval", "share", "begun"),
    [
        pytest.param(15, 0.0, [0, 15, 30], id="at once"),
        pytest.param(15, 0.4, [6, 21, 36], id="at its share of the interval"),
        pytest.param(86400, 0.5, [7.5], id="a daily one is first tried soon"),
    ],
)
def test_attempts_begin_at_their_share_and_then_at_every_interval(
    interval: float, share: float, begun: list[float]
) -> None:
    check = FakeCheck(interval=interval)
    play(check, seconds=40, share=share)
    assert [at - 1000 for at in check.begun] == pytest.approx(begun)


def test_daily_check_goes_on_at_its_share_of_the_day() -> None:
    check = FakeCheck(interval=86400)
    play(check, seconds=2 * 86400, share=0.5)
    assert [at - 1000 for at in check.begun] == pytest.approx([FIRST_SECONDS / 2, 43200, 129600])


@pytest.mark.parametrize(("count", "moments"), [(1, 1), (5, 1), (6, 2), (20, 4), (1000, 200)], ids=str)
def test_checks_begin_a_few_at_a_time_all_over_the_interval(count: int, moments: int) -> None:
    checks = [FakeCheck(name=f"c{n}") for n in range(count)]
    play(*checks, seconds=15, share=0.95)
    begun = [round(check.begun[0] - 1000, 6) for check in checks]
    assert len(set(begun)) == moments
    assert max(map(begun.count, begun)) <= 5
    assert all(0 <= at < 15 for at in begun)
    wanted = sorted((14.25 + 15 * n / moments) % 15 for n in range(moments))
    assert sorted(set(begun)) == pytest.approx(wanted)


def test_shares_are_random() -> None:
    shares = [random_share() for _ in range(1000)]
    assert all(0 <= share < 1 for share in shares)
    assert min(shares) < 0.05
    assert max(shares) > 0.95


def test_result_of_the_last_attempt_is_kept_with_its_time() -> None:
    (state,) = play(FakeCheck(after(2)), seconds=20)
    assert state.last == OK
    assert state.up is True
    assert state.last_attempt == pytest.approx(1e9 + 1017)
    assert state.since == pytest.approx(1e9 + 1002)
    assert (state.attempts, state.failures, state.retries) == (2, {}, 0)


def test_hung_check_times_out_and_delays_no_other() -> None:
    hung, other = FakeCheck(hang, name="hung"), FakeCheck(name="other")
    states = play(hung, other, seconds=31)
    assert states[0].last == Attempt.of(Reason.TIMEOUT, "no end within 5 s")
    assert states[0].up is False
    assert [at - 1000 for at in other.begun] == [0, 15, 30]
    assert [at - 1000 for at in hung.begun] == [0, 15, 30]


@pytest.mark.parametrize(
    ("step", "reason", "outcome"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Reason.REFUSED, Outcome.FAILED),
        (ConnectionResetError(errno.ECONNRESET, "x"), Reason.RESET, Outcome.FAILED),
        (OSError(errno.EHOSTUNREACH, "x"), Reason.HOST_UNREACHABLE, Outcome.FAILED),
        (TimeoutError(errno.ETIMEDOUT, "x"), Reason.TIMEOUT, Outcome.FAILED),
        (TimeoutError(), Reason.TIMEOUT, Outcome.FAILED),
        (OSError(errno.ENETUNREACH, "x"), Reason.NO_ROUTE, Outcome.NOT_ASKED),
        (PermissionError(errno.EPERM, "x"), Reason.NO_PERMISSION, Outcome.NOT_ASKED),
        (OSError(errno.EMFILE, "x"), Reason.OUT_OF_RESOURCES, Outcome.NOT_ASKED),
        (OSError(errno.EAFNOSUPPORT, "x"), Reason.ADDRESS_FAMILY_UNSUPPORTED, Outcome.NOT_ASKED),
        (OSError(errno.EADDRNOTAVAIL, "x"), Reason.NO_SOURCE_ADDRESS, Outcome.NOT_ASKED),
        (OSError("no number"), Reason.INTERNAL_ERROR, Outcome.NOT_ASKED),
        (AttemptError(Reason.BAD_STATUS, "500"), Reason.BAD_STATUS, Outcome.FAILED),
        (AttemptError(Reason.RESOLVER_FAILED), Reason.RESOLVER_FAILED, Outcome.NOT_ASKED),
        (RuntimeError("our own"), Reason.INTERNAL_ERROR, Outcome.NOT_ASKED),
        (asyncio.CancelledError(), Reason.INTERNAL_ERROR, Outcome.NOT_ASKED),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseException) else None,
)
def test_exception_becomes_a_reason(step: Step, reason: Reason, outcome: Outcome) -> None:
    (state,) = play(FakeCheck(step), seconds=1)
    assert state.last is not None
    assert (state.last.reason, state.last.outcome) == (reason, outcome)
    assert state.up is (False if outcome is Outcome.FAILED else None)
    assert state.failures == ({reason: 1} if outcome is Outcome.FAILED else {})


def test_every_reason_is_either_a_failure_or_nothing_that_was_asked() -> None:
    assert {reason.outcome for reason in Reason} == {Outcome.FAILED, Outcome.NOT_ASKED}
    assert Reason.TIMEOUT.outcome is Outcome.FAILED
    assert reason_of(OSError(99999, "?")) is Reason.INTERNAL_ERROR


def test_failed_attempt_is_tried_again_and_only_the_last_try_counts_as_result() -> None:
    refused = Attempt.of(Reason.REFUSED)
    check = FakeCheck(refused, refused, OK, retries=2)
    (state,) = play(check, seconds=10)
    assert [at - 1000 for at in check.begun] == [0, 1, 2]
    assert state.last == OK
    assert (state.attempts, state.retries, state.failures) == (3, 2, {Reason.REFUSED: 2})


def test_result_before_stays_while_a_retry_is_under_way() -> None:
    check = FakeCheck(OK, after(0, Attempt.of(Reason.REFUSED)), hang, retries=1)
    (state,) = play(check, seconds=18)
    assert len(check.begun) == 3
    assert state.last == OK


def test_failure_behind_all_retries_is_the_result() -> None:
    check = FakeCheck(Attempt.of(Reason.REFUSED), retries=2)
    (state,) = play(check, seconds=10)
    assert state.last == Attempt.of(Reason.REFUSED)
    assert (state.attempts, state.retries, state.failures) == (3, 2, {Reason.REFUSED: 3})


def test_what_could_not_ask_is_not_tried_again() -> None:
    check = FakeCheck(Attempt.of(Reason.NO_ROUTE), retries=2)
    (state,) = play(check, seconds=10)
    assert len(check.begun) == 1
    assert state.up is None


def test_retries_that_reach_into_the_next_interval_leave_it_out() -> None:
    check = FakeCheck(hang, interval=15, timeout=10, retries=1)
    (state,) = play(check, seconds=46)
    assert [at - 1000 for at in check.begun] == [0, 11, 30, 41]
    assert check.most == 1
    assert state.failures == {Reason.TIMEOUT: 3}


def test_check_that_ignores_its_cancellation_is_told_and_never_runs_twice(caplog: pytest.LogCaptureFixture) -> None:
    check = FakeCheck(stubborn(50), OK, interval=15, timeout=5)
    other = FakeCheck(name="other")
    (state, _) = play(check, other, seconds=31)
    assert check.begun == [1000]
    assert state.last is not None
    assert state.last.reason is Reason.STILL_RUNNING
    assert state.up is None
    assert (state.attempts, state.failures) == (1, {Reason.TIMEOUT: 1})
    assert state.last_attempt == pytest.approx(1e9 + 1006)
    assert len(other.begun) == 3
    assert [record.message for record in caplog.records].count("check ignores its cancellation") == 1


def test_check_that_ended_after_all_is_asked_again() -> None:
    check = FakeCheck(stubborn(50), OK, interval=15, timeout=5)
    (state,) = play(check, seconds=61)
    assert [at - 1000 for at in check.begun] == [0, 60]
    assert check.most == 1
    assert state.last == OK


def test_words_of_a_check_that_was_told_to_end_are_kept() -> None:
    own = Attempt.of(Reason.TIMEOUT, "connected, and then silence", phases={"connect": 0.1})

    async def step() -> Attempt:
        try:
            return await hang()
        except asyncio.CancelledError:
            return own

    (state,) = play(FakeCheck(step), seconds=6)
    assert state.last == own


def test_what_is_good_only_behind_the_deadline_timed_out() -> None:
    (state,) = play(FakeCheck(stubborn(5.5)), seconds=6)
    assert state.last is not None
    assert state.last.reason is Reason.TIMEOUT


@pytest.mark.parametrize("step", [hang, after(60, Attempt.of(Reason.REFUSED))], ids=["silent", "failed"])
def test_stopped_process_calls_nothing_down(step: Step) -> None:
    """SIGSTOP or a suspended machine: the deadline passed, but nobody was there to see an answer."""

    async def main() -> None:
        check = FakeCheck(step, OK)
        engine = Engine([check], share=lambda: 0.0)
        engine.start()
        await asyncio.sleep(1)
        loop().jump(60)
        await asyncio.sleep(1)
        (state,) = engine.states
        assert (state.last, state.attempts, state.failures) == (OK, 1, {})
        engine.stop()

    run(main())


def test_answer_after_a_stop_has_no_duration() -> None:
    async def main() -> None:
        answered = asyncio.get_running_loop().create_future()

        async def step() -> Attempt:
            loop().jump(60)  # stopped while the answer comes
            answered.set_result(None)
            return OK

        check = FakeCheck(step)
        engine = Engine([check], share=lambda: 0.0)
        engine.start()
        await answered
        await asyncio.sleep(0)
        (state,) = engine.states
        assert state.last == Attempt.of(None)
        engine.stop()

    run(main())


def test_missed_intervals_are_not_made_up_for() -> None:
    async def main() -> None:
        check = FakeCheck()
        engine = Engine([check], share=lambda: 0.0)
        engine.start()
        await asyncio.sleep(1)
        loop().jump(100)
        await asyncio.sleep(20)
        assert [at - 1000 for at in check.begun] == pytest.approx([0, 101, 105, 120])
        engine.stop()

    run(main())


def test_nothing_is_asked_or_counted_after_the_end() -> None:
    async def main() -> None:
        check, hung = FakeCheck(), FakeCheck(hang)
        engine = Engine([check, hung], share=lambda: 0.0)
        engine.start()
        await asyncio.sleep(1)
        engine.stop()
        await asyncio.sleep(100)
        assert len(check.begun) == len(hung.begun) == 1
        assert hung.running == 0
        assert [state.attempts for state in engine.states] == [1, 0]

    run(main())


def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    refused, no_route = Attempt.of(Reason.REFUSED, "x"), Attempt.of(Reason.NO_ROUTE)
    play(FakeCheck(OK, OK, refused, refused, no_route, no_route, OK), seconds=15 * 7 + 1)
    assert [record.message for record in caplog.records] == [
        "check ok",
        "check failed",
        "check not possible",
        "check ok",
    ]


def test_fault_of_ours_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    play(FakeCheck(RuntimeError("our own")), seconds=46)
    broken = [record for record in caplog.records if record.message == "check broke"]
    assert len(broken) == 1
    assert broken[0].exc_info is not None
