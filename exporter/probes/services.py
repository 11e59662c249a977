"""The collector `services`: what came of the checks, whatever their kind."""

from collections.abc import Sequence
from typing import ClassVar, Final

from exporter.exposition import Block, Family
from exporter.probes.attempt import PHASES, Attempt, Outcome
from exporter.probes.engine import State
from exporter.probes.rows import Lines, Subject, assemble

_BY_CHECK: Final = ("check", "kind")
UP: Final = Family(
    "host_service_up",
    "gauge",
    "1 where the last attempt was ok, 0 where it failed, retries behind it; absent while it could not be asked.",
    _BY_CHECK,
)
POSSIBLE: Final = Family(
    "host_service_check_possible",
    "gauge",
    "1 where the last attempt could ask, 0 where it could not: that says nothing about the service.",
    _BY_CHECK,
)
FAILURE: Final = Family(
    "host_service_failure_info",
    "gauge",
    "1 for the reason why the last attempt was not ok; absent where it was.",
    ("check", "kind", "reason"),
)
ATTEMPTS: Final = Family(
    "host_service_attempts_total", "counter", "Attempts that came to an end, retries included.", _BY_CHECK
)
FAILURES: Final = Family(
    "host_service_failures_total",
    "counter",
    "Attempts that failed, retries included; not those that could not ask.",
    _BY_CHECK,
)
RETRIES: Final = Family(
    "host_service_retries_total", "counter", "Attempts made because the one before had failed.", _BY_CHECK
)
DURATION: Final = Family(
    "host_service_duration_seconds",
    "gauge",
    "How long each phase of the last attempt took; phases that it did not reach are absent.",
    ("check", "kind", "phase"),
)
LAST_ATTEMPT: Final = Family(
    "host_service_last_attempt_timestamp_seconds",
    "gauge",
    "When the last attempt ended, seconds since the epoch.",
    _BY_CHECK,
)
EXPIRY: Final = Family(
    "host_service_certificate_expiry_timestamp_seconds",
    "gauge",
    "The earliest moment at which a certificate that was seen expires, seconds since the epoch.",
    _BY_CHECK,
)
COVERAGE: Final = Family(
    "host_service_certificate_coverage_info",
    "gauge",
    "1; which certificates were seen: chain, of a good one up to its root, else all that the server sent; or leaf, the "
    "server's own, where this Python shows no more.",
    ("check", "kind", "covers"),
)
STATUS_CODE: Final = Family(
    "host_service_http_status_code", "gauge", "Status of the last answer, the last redirect's behind it.", _BY_CHECK
)
UNIT_RESTARTS: Final = Family(
    "host_service_unit_restarts_total",
    "counter",
    "How often systemd restarted the unit by itself (NRestarts).",
    ("check",),
)
PROCESSES: Final = Family("host_service_processes", "gauge", "Processes that match the check.", ("check",))

_FACTS: Final = ((STATUS_CODE, "http_status_code"), (UNIT_RESTARTS, "unit_restarts_total"), (PROCESSES, "processes"))


class Services:
    """Services as checks see them, each on a timer of its own: what came of the last attempt, and what was counted."""

    name: ClassVar[str] = "services"
    families: ClassVar[tuple[Family, ...]] = (
        UP,
        POSSIBLE,
        FAILURE,
        ATTEMPTS,
        FAILURES,
        RETRIES,
        DURATION,
        LAST_ATTEMPT,
        EXPIRY,
        COVERAGE,
        *(family for family, _ in _FACTS),
    )
    blocking: ClassVar[bool] = False

    def __init__(self, states: Sequence[State]) -> None:
        self._checks = [_Rows(state) for state in states]

    def collect(self) -> Block:
        """Return the rows of every check."""
        return assemble(self.families, [check.lines() for check in self._checks])


class _Rows:
    """The rows of one check; made anew only when its state has changed."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._line = Subject(state.check.name, state.check.kind).line
        self._version = -1
        self._lines: Lines = ()

    def lines(self) -> Lines:
        """Return the lines, in the order of the collector's families."""
        if self._version != self._state.version:
            self._version = self._state.version
            self._lines = self._make()
        return self._lines

    def _make(self) -> Lines:
        state, last = self._state, self._state.last
        counted = (
            self._line(ATTEMPTS, state.attempts),
            self._line(FAILURES, sum(state.failures.values())),
            self._line(RETRIES, state.retries),
        )
        last_attempt = self._line(LAST_ATTEMPT, state.last_attempt)
        if last is None:
            return (b"", b"", b"", *counted, b"", last_attempt, b"", b"", *(b"" for _ in _FACTS))
        return (
            *self._result(last),
            *counted,
            b"".join(self._line(DURATION, last.phases.get(phase), phase) for phase in PHASES),
            last_attempt,
            *self._certificates(last),
            *(self._line(family, last.facts.get(fact)) for family, fact in _FACTS),
        )

    def _result(self, last: Attempt) -> Lines:
        was_asked = last.outcome is not Outcome.NOT_ASKED
        return (
            self._line(UP, int(last.outcome is Outcome.OK) if was_asked else None),
            self._line(POSSIBLE, int(was_asked)),
            self._line(FAILURE, 1, last.reason.value) if last.reason is not None else b"",
        )

    def _certificates(self, last: Attempt) -> Lines:
        if last.certificates is None:
            return b"", b""
        expiry, covers = last.certificates
        return self._line(EXPIRY, expiry), self._line(COVERAGE, 1, covers)
