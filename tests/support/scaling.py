"""Shipped rules and configurations with every duration divided by one factor: how tests make time go faster.

Nothing else changes. Ranges, offsets and steps inside expressions are changed in the syntax tree of a PromQL parser;
the result is printed, parsed again and multiplied back, and has to be the expression that it was before. A number is a
number, but for those that ELAPSED names: they mean time that goes by, and are divided like a duration.
"""

import shutil
from collections.abc import Callable, Mapping
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

# the keys of Prometheus' and Alertmanager's files whose value is a duration (their configuration references)
DURATION_KEYS = frozenset(
    {
        *("for", "keep_firing_for", "interval", "query_offset"),
        *("scrape_interval", "scrape_timeout", "evaluation_interval", "refresh_interval"),
        *("group_wait", "group_interval", "repeat_interval", "resolve_timeout", "timeout"),
    }
)
# Numbers in the expression of a shipped rule that mean time that goes by, by the rule's name
ELAPSED: Final[Mapping[str, frozenset[float]]] = {
    "ContainerFailed": frozenset({86400}),
    "instance_mountpoint:filesystem_left_seconds:avg6h": frozenset({21600}),
    "host:threshold:disk_prediction_seconds": frozenset({86400}),
    "host:threshold:relay_queue_age_seconds": frozenset({300}),
}
# Those that mean something else, though they are large enough to be seconds: the date of a certificate and the moment
# of a boot are the calendar's, whatever the tests' time does
NOT_ELAPSED: Final[Mapping[str, frozenset[float]]] = {
    "HostRebooted": frozenset({60}),
    "host:threshold:certificate_expiry_seconds": frozenset({1814400}),
    "host:threshold:certificate_expiry_critical_seconds": frozenset({259200}),
    "host:threshold:traffic_floor_bytes": frozenset({1000000}),
}
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}


class ScalingError(Exception):
    """A file or an expression cannot be scaled faithfully."""


def scale_tree(source: Path, target: Path, factor: int) -> None:
    """Copy prometheus/ and alertmanager/ of `source` into `target`, with all durations divided by `factor`."""
    for folder in ("prometheus", "alertmanager"):
        shutil.copytree(source / folder, target / folder, ignore=shutil.ignore_patterns("tests", "__pycache__"))
        for file in (target / folder).rglob("*.yml"):
            file.write_text(yaml.safe_dump(scale(yaml.safe_load(file.read_text()), factor), sort_keys=False))


def scale(node: Any, factor: int) -> Any:
    """Return a decoded file with its durations and the durations in its rules' expressions divided by `factor`."""
    if isinstance(node, list):
        return [scale(item, factor) for item in node]
    if not isinstance(node, dict):
        return node
    elapsed = ELAPSED.get(str(node.get("alert") or node.get("record")), frozenset())
    return {key: _scale_value(key, value, factor, elapsed) for key, value in node.items()}


def _scale_value(key: str, value: Any, factor: int, elapsed: frozenset[float]) -> Any:
    if key in DURATION_KEYS and isinstance(value, str):
        return scale_duration(value, factor)
    if key == "expr" and isinstance(value, str):
        return scale_expression(value, factor, elapsed)
    # labels and annotations hold words of ours: one may well be called `for`
    return value if key in {"labels", "annotations"} else scale(value, factor)


def scale_duration(text: str, factor: int) -> str:
    """Return a duration such as 1h30m divided by `factor`, to the nearest millisecond at least 1: '333ms'."""
    scaled = round(Fraction(milliseconds(text), factor))
    if scaled == 0 and milliseconds(text) != 0:
        raise ScalingError(f"{text} / {factor} is no millisecond")
    return f"{scaled}ms"


def scale_expression(text: str, factor: int, elapsed: frozenset[float] = frozenset()) -> str:
    """Return an expression with its ranges, offsets and steps divided by `factor`, and the numbers in `elapsed`.

    Raises ScalingError when a duration does not come out in whole milliseconds, or when the result, multiplied back,
    is another expression than before.
    """
    before = _parse(text)
    down = {number: number / factor for number in elapsed}
    up = {quotient: number for number, quotient in down.items()}
    scaled = _transformed(before, lambda span: _divided(span, factor), down).prettify()
    back = _transformed(_parse(scaled), lambda span: span * factor, up)
    if repr(back) != repr(before):
        raise ScalingError(f"cannot be scaled faithfully: {text!r} became {scaled!r}")
    return str(scaled)


def _parse(text: str) -> Any:
    try:
        return promql_parser.parse(text)
    except ValueError as err:
        raise ScalingError(f"{text!r}: {err}") from err


def _transformed(expression: Any, change: Callable[[Any], timedelta], numbers: Mapping[float, float]) -> Any:
    """Return the tree with every duration changed, and these numbers.

    Nodes cannot be made anew: each is parsed from its own text.
    """

    def visit(node: Any) -> Any:
        text = node.prettify()
        if isinstance(node, promql_parser.NumberLiteral) and node.val in numbers:
            return promql_parser.parse(repr(numbers[node.val]))
        if isinstance(node, promql_parser.VectorSelector) and node.offset is not None:
            return promql_parser.parse(_with_offset(text, change(node.offset)))
        if isinstance(node, promql_parser.MatrixSelector):
            # its offset is its vector selector's, which was visited before
            return promql_parser.parse(_with_range(text, _printed(change(node.range))))
        if isinstance(node, promql_parser.SubqueryExpr):
            step = _printed(change(node.step)) if node.step is not None else ""
            text = _with_range(text, f"{_printed(change(node.range))}:{step}")
            return promql_parser.parse(text if node.offset is None else _with_offset(text, change(node.offset)))
        return None

    return promql_parser.transform(expression, post_visit=visit)


def _with_range(text: str, span: str) -> str:
    # what may follow the brackets (@, offset) has none of its own
    return f"{text[: text.rindex('[')]}[{span}{text[text.rindex(']') :]}"


def _with_offset(text: str, span: timedelta) -> str:
    # it stands last in the parser's own print
    return f"{text[: text.rindex(' offset ')]} offset {_printed(span)}"


def _printed(span: timedelta) -> str:
    return f"{'-' if span < timedelta(0) else ''}{abs(span) // timedelta(milliseconds=1)}ms"


def _divided(span: timedelta, factor: int) -> timedelta:
    if span % timedelta(milliseconds=factor):
        raise ScalingError(f"{promql_parser.display_duration(span)} / {factor} is no whole number of milliseconds")
    return span / factor


def milliseconds(text: str) -> int:
    """Return a duration such as 1h30m in milliseconds. Raises ScalingError when it is none."""
    if text == "0":
        return 0
    total, digits, rest = 0, "", text
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        rest = rest[len(digits) :]
        unit = "ms" if rest.startswith("ms") else rest[:1]
        if not digits or unit not in _UNITS_MS:
            raise ScalingError(f"{text!r}: expected a duration such as 1h30m")
        total += int(digits) * _UNITS_MS[unit]
        rest = rest[len(unit) :]
    return total
