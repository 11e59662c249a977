"""Phases of an attempt: they add up, and what was learned before a failure is told with it."""

import asyncio
import errno
import ssl

import pytest

from exporter.probes.attempt import Attempt, AttemptError, Certificates, Outcome, Reason
from exporter.probes.stopwatch import Stopwatch, measure


def test_phases_that_come_again_add_up() -> None:
    now = iter([1.0, 1.5, 3.0, 3.25, 10.0])
    watch = Stopwatch(lambda: next(now))
    for phase in ("connect", "processing", "connect", "processing"):
        watch.enter(phase)
    watch.stop()
    assert watch.phases == {"connect": 0.75, "processing": 8.25}


def test_a_phase_that_never_ends_is_there() -> None:
    watch = Stopwatch(lambda: 1.0)
    watch.enter("tls")
    assert watch.attempt(Reason.TIMEOUT).phases == {"tls": 0.0}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, None),
        (AttemptError(Reason.BAD_BODY, "x"), Reason.BAD_BODY),
        (OSError(errno.ECONNRESET, "reset"), Reason.RESET),
        (OSError(errno.ENETUNREACH, "unreachable"), Reason.NO_ROUTE),
        (TimeoutError(errno.ETIMEDOUT, "the kernel gave up"), Reason.TIMEOUT),
        (TimeoutError(), Reason.TIMEOUT),
    ],
)
def test_what_an_attempt_ends_with_is_its_reason(error: Exception | None, reason: Reason | None) -> None:
    async def work(watch: Stopwatch) -> None:
        watch.enter("connect")
        watch.facts["http_status_code"] = 200.0
        watch.certificates = Certificates(5.0, "leaf")
        if error is not None:
            raise error

    async def run() -> Attempt:
        return await measure(work, asyncio.get_running_loop().time() + 5)

    result = asyncio.run(run())
    assert result.reason is reason
    assert result.outcome is (Outcome.OK if reason is None else reason.outcome)
    assert (result.facts, result.certificates) == ({"http_status_code": 200.0}, Certificates(5.0, "leaf"))
    assert list(result.phases) == ["connect"]


def test_a_fault_of_ours_is_left_to_the_engine() -> None:
    async def work(_: Stopwatch) -> None:
        raise KeyError("ours")

    async def run() -> Attempt:
        return await measure(work, asyncio.get_running_loop().time() + 5)

    with pytest.raises(KeyError):
        asyncio.run(run())


def test_errors_of_tls_are_none_of_the_kernels() -> None:
    assert issubclass(ssl.SSLError, OSError), "secure.py turns each into a reason before anybody reads its errno"
