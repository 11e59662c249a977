import pytest

from bench.goals import Goal

RATIO = Goal(0.14, 0.10)
RATE = Goal(5, at_least=True)
NONE = Goal(0, absolute=True)


@pytest.mark.parametrize(
    ("goal", "value", "met", "verdict"),
    [
        (RATIO, 0.09, True, "met, aim too"),
        (RATIO, 0.14, True, "met, 40% off the aim"),
        (RATIO, 0.21, False, "missed by 50.0%"),
        (RATE, 5.0, True, "met"),
        (RATE, 4.0, False, "missed by 20.0%"),
        (NONE, 0.0, True, "met"),
        (NONE, 3.0, False, "missed by 3"),
        (RATIO, None, False, "not measured"),
    ],
)
def test_a_verdict_says_by_how_much(goal: Goal, value: float | None, met: bool, verdict: str) -> None:
    assert goal.is_met(value) is met
    assert goal.verdict(value) == verdict


def test_a_goal_reads_as_it_is_written_down() -> None:
    assert [goal.text() for goal in (RATIO, RATE, NONE)] == ["<= 0.14, aim 0.1", ">= 5", "<= 0"]
