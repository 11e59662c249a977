"""The one mechanism that makes time go faster in tests changes durations and nothing else."""

from pathlib import Path

import promql_parser
import pytest
import yaml

from tests.support import mutation
from tests.support.scaling import (
    ELAPSED,
    NOT_ELAPSED,
    ScalingError,
    scale,
    scale_duration,
    scale_expression,
    scale_tree,
)

ROOT = Path(__file__).resolve().parents[3]

EXPRESSIONS = {
    "a range": ("rate(x[5m])", "rate(x[10s])"),
    "below a second": ("rate(x[15s])", "rate(x[500ms])"),
    "an offset": ("x offset 1h", "x offset 2m"),
    "a negative offset": ("rate(x[5m] offset -3m)", "rate(x[10s] offset -6s)"),
    "a range with an offset": ('rate(x{a="b"}[5m] offset 1m)', 'rate(x{a="b"}[10s] offset 2s)'),
    "a subquery in a subquery": (
        "max_over_time(max_over_time(rate(x[1m] offset 30s)[10m:30s])[1h:1m] offset 1m)",
        "max_over_time(max_over_time(rate(x[2s] offset 1s)[20s:1s])[2m:2s] offset 2s)",
    ),
    "a subquery without a step": ("max_over_time(x[5m:])", "max_over_time(x[10s:])"),
    "an aggregation's parameter": ("topk(scalar(x offset 1m), y)", "topk(scalar(x offset 2s), y)"),
    "at a moment": ("rate(x[1m] @ start() offset 1m)", "rate(x[2s] @ start() offset 2s)"),
    "matching": ("a / on (i) group_left (n) rate(b[5m])", "a / on (i) group_left (n) rate(b[10s])"),
    "brackets and offset in a label value": (
        'rate(x{a="[5m] offset 5m", b=~"a\\\\.[b]\\"c"}[5m])',
        'rate(x{a="[5m] offset 5m",b=~"a\\\\.[b]\\"c"}[10s])',
    ),
    "nothing to scale": ('sum without (cpu) (x{mode!="idle"}) > bool 0.8', None),
    "a number that looks like a time": ("time() - x > 300", None),
}


@pytest.mark.parametrize(("text", "expected"), EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_durations_in_an_expression_are_divided_and_nothing_else_changes(text: str, expected: str | None) -> None:
    assert scale_expression(text, 30) == (text if expected is None else expected)


def test_the_meaning_of_precedence_survives() -> None:
    text = "(a - b) / c and d > 0.7 or (e and f offset 3m unless g)"
    assert "".join(scale_expression(text, 30).split()) == "".join(text.replace("3m", "6s").split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate(x[100ms])", "no whole number of milliseconds"),
        ("rate(x[5m]", "rate"),
        ("rate(x)", "rate"),
    ],
)
def test_what_cannot_be_scaled_faithfully_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        scale_expression(text, 30)


@pytest.mark.parametrize(
    ("text", "expected"), [("5m", "10000ms"), ("1h30m", "180000ms"), ("10s", "333ms"), ("0s", "0ms"), ("0", "0ms")]
)
def test_a_duration_in_a_file_is_divided_to_the_millisecond(text: str, expected: str) -> None:
    assert scale_duration(text, 30) == expected


@pytest.mark.parametrize("text", ["5 m", "m", "5", "5min", "-5m", "10ms"])
def test_a_duration_that_is_none_or_would_vanish_is_an_error(text: str) -> None:
    with pytest.raises(ScalingError):
        scale_duration(text, 300)


def test_only_durations_of_a_rule_change() -> None:
    rule = {
        "alert": "A",
        "expr": "x > 300",
        "for": "5m",
        "keep_firing_for": "1m",
        "labels": {"for": "5m"},
        "annotations": {"summary": "x[5m]", "interval": "5m"},
    }
    assert scale(rule, 30) == {**rule, "for": "10000ms", "keep_firing_for": "2000ms"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time() - x > 300", "time() - x > 10"),
        ("300 * a / (b offset 5m - b)", "10 * a / (b offset 10s - b)"),
        ("x > 300 and y > 30", "x > 10 and y > 30"),
        ("x > 0.3", "x > 0.3"),
    ],
)
def test_a_number_that_means_time_that_goes_by_is_divided_where_it_is_named(text: str, expected: str) -> None:
    assert scale_expression(text, 30, frozenset({300.0})).split() == expected.split()


def test_two_numbers_that_would_become_one_are_an_error() -> None:
    with pytest.raises(ScalingError, match="faithfully"):
        scale_expression("x > 300 and y > 10", 30, frozenset({300.0}))


def test_of_every_large_number_in_the_shipped_rules_it_is_known_whether_it_means_time_that_goes_by() -> None:
    rules = {name.partition("#")[0]: rule["expr"] for name, rule in mutation.shipped().items()}
    large = {name: {number for number in _numbers(text) if number >= 60} for name, text in rules.items()}
    known = {name: set(ELAPSED.get(name, ())) | set(NOT_ELAPSED.get(name, ())) for name in rules}
    assert {name: numbers for name, numbers in large.items() if numbers} == {
        name: numbers for name, numbers in known.items() if numbers
    }
    assert set(ELAPSED) & set(NOT_ELAPSED) == set()
    assert (set(ELAPSED) | set(NOT_ELAPSED)) - set(rules) == set()


def _numbers(expression: str) -> set[float]:
    return {node.val for node in mutation.nodes(expression) if isinstance(node, promql_parser.NumberLiteral)}


def test_a_shipped_rule_s_seconds_are_scaled_with_it() -> None:
    rule = mutation.shipped()["host:threshold:relay_queue_age_seconds"]
    assert "* 10" in scale(rule, 30)["expr"]
    rule = mutation.shipped()["host:threshold:certificate_expiry_seconds"]
    assert "* 1814400" in scale(rule, 30)["expr"]


@pytest.mark.needs("prometheus", "alertmanager")
def test_what_is_shipped_scales_and_is_accepted(tmp_path: Path) -> None:
    import subprocess

    scale_tree(ROOT, tmp_path, 30)
    for command in (
        ["promtool", "check", "config", tmp_path / "prometheus" / "prometheus.yml"],
        ["amtool", "check-config", tmp_path / "alertmanager" / "alertmanager.yml"],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    config = yaml.safe_load((tmp_path / "prometheus" / "prometheus.yml").read_text())
    assert config["global"] == {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    assert "[10s]" in (tmp_path / "prometheus" / "rules" / "cpu.yml").read_text()
