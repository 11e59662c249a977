"""In what an expression counts: bytes, seconds, moments, things, and each of them per second; told by metrics' names.

None is a number that goes with anything (a literal, an unknown). A share of one in the other has no unit: (0, 0, 0).
"""

from functools import cache
from typing import Any, Final, NamedTuple

import promql_parser

from tests.support.exposed import RECORDED


class Unit(NamedTuple):
    """Exponents: bytes per second is Unit(bytes=1, seconds=-1)."""

    bytes: int = 0
    seconds: int = 0
    moments: int = 0
    """Seconds since 1970."""

    def times(self, other: "Unit", sign: int) -> "Unit":
        """Return the product, or the quotient where `sign` is -1."""
        return Unit(*(mine + sign * theirs for mine, theirs in zip(self, other, strict=True)))


PLAIN: Final = Unit()
"""Shares and numbers of things."""
BYTES, SECONDS, MOMENT = Unit(bytes=1), Unit(seconds=1), Unit(moments=1)
PER_SECOND: Final = Unit(seconds=-1)
BYTES_PER_SECOND: Final = Unit(bytes=1, seconds=-1)

# Grafana's names of units, as far as the dashboards use them
GRAFANA: Final = {
    "percentunit": PLAIN,
    "short": PLAIN,
    "bytes": BYTES,
    "binBps": BYTES_PER_SECOND,
    "s": SECONDS,
    **dict.fromkeys(("ops", "cps", "pps", "iops"), PER_SECOND),
}
# what a name does not tell: traffic and a link's speed are bytes a second, and a moment need not be called timestamp
_NAMED: Final = {
    "host:threshold:traffic_floor_bytes": BYTES_PER_SECOND,
    "node_network_speed_bytes": BYTES_PER_SECOND,
    **dict.fromkeys(("node_boot_time_seconds", "node_time_seconds", "process_start_time_seconds"), MOMENT),
    "ALERTS_FOR_STATE": MOMENT,
}
_SUFFIXES: Final = {"_timestamp_seconds": MOMENT, "_seconds": SECONDS, "_bytes": BYTES}
_PER_SECOND: Final = frozenset({"rate", "irate", "deriv"})
_ANYTHING: Final = frozenset({"vector", "present_over_time", "absent", "group"})
_THINGS: Final = frozenset({"changes", "resets", "count_over_time", "count", "count_values"})
_COMPARE: Final = frozenset({"==", "!=", "<", ">", "<=", ">="})


def of_name(name: str) -> Unit:
    """Return the unit of a metric or of what a rule records."""
    if name in _NAMED:
        return _NAMED[name]
    level, _, rest = name.partition(":")
    quantity, _, operation = rest.rpartition(":") if rest else (level, "", "")
    if level == "host" and quantity == "threshold":
        quantity, operation = operation, ""
    bare = quantity.removesuffix("_total").removesuffix("_sum")
    found = next((unit for suffix, unit in _SUFFIXES.items() if bare.endswith(suffix)), PLAIN)
    per_second = found == BYTES and operation.startswith(("rate", "same_hour"))
    return BYTES_PER_SECOND if per_second else found


class Units:
    """Walks one expression; `mismatches` are the places where unlike things meet."""

    def __init__(self) -> None:
        self.mismatches: list[str] = []

    def of(self, node: Any) -> Unit | None:
        """Return the unit of the answer."""
        kind = type(node).__name__
        if kind == "VectorSelector":
            return of_name(node.name) if node.name else PLAIN
        if kind == "MatrixSelector":
            return self.of(node.vector_selector)
        if kind in {"ParenExpr", "UnaryExpr", "SubqueryExpr"}:
            return self.of(node.expr)
        if kind == "AggregateExpr":
            if str(node.op) in _ANYTHING:  # what is in it only has to be there
                return None
            inner = self.of(node.expr)
            return PLAIN if str(node.op) in _THINGS else inner
        if kind == "Call":
            return self._call(node)
        return self._binary(node) if kind == "BinaryExpr" else None

    def _call(self, node: Any) -> Unit | None:
        name, units = node.func.name, [self.of(argument) for argument in node.args]
        if name in {"time", "timestamp"}:
            return MOMENT
        if name in _ANYTHING:
            return None
        if name in _THINGS:
            return PLAIN
        if name == "histogram_quantile":
            return _of_buckets(node.args[1])
        unit = units[0] if units else None
        return unit.times(SECONDS, -1) if name in _PER_SECOND and unit is not None else unit

    def _binary(self, node: Any) -> Unit | None:
        left, right, operator = self.of(node.lhs), self.of(node.rhs), str(node.op)
        if operator in {"and", "unless"}:
            return left
        if operator == "*" and 0 in (_literal(node.lhs), _literal(node.rhs)):
            return None
        if operator in {"*", "/"}:
            if left is None or right is None:
                return _one(left, right, operator)
            return left.times(right, 1 if operator == "*" else -1)
        if operator == "-" and left == right == MOMENT:
            return SECONDS
        if left is not None and right is not None and left != right:
            self.mismatches.append(f"{left} {operator} {right} in {node.prettify()}")
        if operator in _COMPARE and node.modifier and node.modifier.return_bool:
            return PLAIN
        return right if left is None else left


def _literal(node: Any) -> float | None:
    return float(node.val) if type(node).__name__ == "NumberLiteral" else None


def _one(left: Unit | None, right: Unit | None, operator: str) -> Unit | None:
    """Return what a product with a number is: the number's unit is not known, as in 86400 * x."""
    if operator == "/" and left is None:
        return None
    return left if right is None else right


def _of_buckets(node: Any) -> Unit:
    for part in _parts(node):
        if type(part).__name__ == "VectorSelector" and part.name:
            return of_name(part.name.removesuffix("_bucket"))
    return PLAIN


def _parts(node: Any) -> list[Any]:
    found: list[Any] = []
    promql_parser.transform(node, post_visit=found.append)
    return found


@cache
def unit(expression: str) -> tuple[Unit | None, tuple[str, ...]]:
    """Return the unit of an expression's answer, and where unlike things meet in it."""
    units = Units()
    found = units.of(promql_parser.parse(expression))
    return found, tuple(units.mismatches)


def misnamed() -> dict[str, str]:
    """Return what rules record under a name that tells another unit than the expression has."""
    found = {}
    for name, rules in RECORDED.items():
        for expression, _ in rules:
            told, meant = of_name(name), unit(expression)[0]
            if meant is not None and told != meant and not name.startswith("host:threshold:"):
                found[name] = f"the name tells {told}, the expression is {meant}"
    return found
