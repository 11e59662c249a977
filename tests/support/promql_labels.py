"""Which labels an expression's answer can have, and what it asks for that nobody exposes."""

from functools import cache
from typing import Any, Final

import promql_parser

from tests.support.exposed import ALERTS, DECLARED, OF_EVERY_TARGET, OF_OPERATORS, RECORDED, SUBJECTS

ANY: Final = frozenset({"*"})
"""Every label: of an expression whose labels nobody can tell."""

_SET_OPERATORS: Final = frozenset({"and", "or", "unless"})
# a threshold's override has the subject's label where it is of a subject
_OPERATORS: Final = {name: labels | SUBJECTS for name, labels in OF_OPERATORS.items()}


class Judge:
    """Walks one expression; `strangers` are metrics that nobody exposes, and labels that are never there."""

    def __init__(self) -> None:
        self.strangers: set[str] = set()

    def labels(self, node: Any) -> frozenset[str]:
        """Return the labels that the answer may have."""
        kind = type(node).__name__
        found: frozenset[str] = getattr(self, f"_{kind.lower()}")(node)
        return found

    def _numberliteral(self, _node: Any) -> frozenset[str]:
        return frozenset()

    _stringliteral = _numberliteral

    def _parenexpr(self, node: Any) -> frozenset[str]:
        return self.labels(node.expr)

    _unaryexpr = _subqueryexpr = _parenexpr

    def _matrixselector(self, node: Any) -> frozenset[str]:
        return self.labels(node.vector_selector)

    def _vectorselector(self, node: Any) -> frozenset[str]:
        asked = {matcher.name: matcher.value for matcher in node.matchers.matchers}
        name = node.name or asked.pop("__name__", None)
        if name is None:  # of all metrics: whatever any has
            return ANY
        there = of_metric(name)
        if there is None:
            self.strangers.add(name)
            return ANY
        self.strangers |= {f"{name}{{{label}}}" for label in asked if label not in there and "*" not in there}
        return there

    def _aggregateexpr(self, node: Any) -> frozenset[str]:
        there = self.labels(node.expr)
        if str(node.op) in {"topk", "bottomk"}:
            return there
        modifier = node.modifier
        if modifier is None:
            return frozenset()
        named = frozenset(modifier.labels)
        if modifier.type == promql_parser.AggModifierType.Without:
            return there - named
        self._check(named, there, "by")
        return named

    def _call(self, node: Any) -> frozenset[str]:
        name, arguments = node.func.name, list(node.args)
        there = [self.labels(argument) for argument in arguments]
        if name in {"scalar", "time", "vector"}:
            return frozenset()
        if name == "label_replace":
            target, source = arguments[1].val, arguments[3].val
            if source:
                self._check(frozenset({source}), there[0], "label_replace")
            return there[0] | {target}
        if name == "histogram_quantile":
            self._check(frozenset({"le"}), there[1], "histogram_quantile by")
            return there[1] - {"le"}
        return next((labels for argument, labels in zip(arguments, there, strict=True) if _is_vector(argument)), ANY)

    def _binaryexpr(self, node: Any) -> frozenset[str]:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        if not _is_vector(node.lhs) or not _is_vector(node.rhs):
            return left if _is_vector(node.lhs) else right
        matching = node.modifier.matching if node.modifier else None
        named = frozenset(matching.labels) if matching else frozenset()
        by_on = matching is not None and str(matching).startswith("on")
        if by_on:
            self._check(named, left, "on")
            self._check(named, right, "on")
        operator = str(node.op)
        if operator in _SET_OPERATORS:
            return left | right if operator == "or" else left
        card = str(node.modifier.card) if node.modifier else ""
        taken = frozenset(node.modifier.group_labels or ()) if node.modifier else frozenset[str]()
        if "ToOne" in card and "Many" in card:
            self._check(taken, right, "group_left")
            return left | taken
        if "OneToMany" in card:
            self._check(taken, left, "group_right")
            return right | taken
        return named if by_on else left - named

    def _check(self, named: frozenset[str], there: frozenset[str], word: str) -> None:
        if "*" not in there:
            self.strangers |= {f"{word} ({label})" for label in named - there}


def _is_vector(node: Any) -> bool:
    kind = type(node).__name__
    if kind == "Call":
        return node.func.name not in {"scalar", "time"}
    if kind in {"ParenExpr", "UnaryExpr"}:
        return _is_vector(node.expr)
    if kind == "BinaryExpr":
        return _is_vector(node.lhs) or _is_vector(node.rhs)
    return kind not in {"NumberLiteral", "StringLiteral"}


@cache
def of_metric(name: str) -> frozenset[str] | None:
    """Return the labels that a metric may have, None where nobody exposes it."""
    if name in {"ALERTS", "ALERTS_FOR_STATE"}:
        return ALERTS | _of_all_alerts()
    if name in _OPERATORS:
        return _OPERATORS[name] | OF_EVERY_TARGET
    if name in DECLARED:
        return DECLARED[name] | OF_EVERY_TARGET
    if name in RECORDED:
        return frozenset().union(*(answer_labels(expr) | added for expr, added in RECORDED[name]))
    return None


@cache
def _of_all_alerts() -> frozenset[str]:
    from tests.support.exposed import RULES

    return frozenset().union(*(answer_labels(rule["expr"]) for rule in RULES.values() if "alert" in rule))


@cache
def answer_labels(expression: str) -> frozenset[str]:
    """Return the labels that an expression's answer may have; `*` is among them where nobody can tell."""
    return Judge().labels(promql_parser.parse(expression))


def strangers(expression: str) -> set[str]:
    """Return what an expression asks for and nobody exposes. Raises ValueError for what is no PromQL."""
    judge = Judge()
    judge.labels(promql_parser.parse(expression))
    return judge.strangers
