"""Process checks: the number that somebody else counts, against limits."""

import asyncio
from typing import Any

import pytest

from exporter.probes.attempt import Outcome, Reason
from exporter.probes.process import ProcessCheck
from exporter.settings.checks import ProcessSettings
from exporter.settings.processes import Match
from tests.support.checks import attempt, settings

CASES: list[tuple[int | None, dict[str, int], Reason | None, str]] = [
    (1, {}, None, ""),
    (7, {}, None, ""),
    (0, {}, Reason.TOO_FEW_PROCESSES, "expected 1 or more, got 0"),
    (3, {"minimum": 4}, Reason.TOO_FEW_PROCESSES, "expected 4 or more, got 3"),
    (4, {"minimum": 4, "maximum": 4}, None, ""),
    (5, {"minimum": 4, "maximum": 4}, Reason.TOO_MANY_PROCESSES, "expected 4 or fewer, got 5"),
    (0, {"minimum": 0, "maximum": 0}, None, ""),
    (1, {"minimum": 0, "maximum": 0}, Reason.TOO_MANY_PROCESSES, "expected 0 or fewer, got 1"),
    (None, {}, Reason.NO_DATA, "processes have not been looked at yet"),
]


@pytest.mark.parametrize(("number", "limits", "reason", "detail"), CASES)
def test_a_number_is_within_its_limits_or_not(
    number: int | None, limits: dict[str, int], reason: Reason | None, detail: str
) -> None:
    asked: list[Any] = []

    def count(match: Match) -> int | None:
        asked.append(match)
        return number

    given = settings(ProcessSettings, match={"name": "nginx"}, **limits)
    result = asyncio.run(attempt(ProcessCheck(given, count)))
    assert (result.reason, result.detail) == (reason, detail)
    assert result.facts == ({} if number is None else {"processes": float(number)})
    assert asked == [given.match]
    if number is None:
        assert result.outcome is Outcome.NOT_ASKED


def test_the_log_names_what_is_looked_for() -> None:
    given = settings(ProcessSettings, match={"name": "nginx", "user": "www-data"})
    assert ProcessCheck(given, lambda _: 1).target == "name nginx, user www-data"
