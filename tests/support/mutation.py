"""Damaged copies of the shipped rules: whether the rule tests notice each damage.

Every number but 0 is halved, every `for` and `keep_firing_for` dropped, every metric of an expression renamed, and the
right side of every `and` and `unless` dropped, one at a time.
"""

import copy
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import promql_parser
import yaml

from tests.support import rule_tests

Rule = dict[str, Any]


class Mutant(NamedTuple):
    """One damage: the rule's name, what was done to it, and the rule as it is then."""

    rule: str
    damage: str
    mutated: Rule

    @property
    def name(self) -> str:
        """Names it in a list of survivors."""
        return f"{self.rule}: {self.damage}"


def shipped() -> dict[str, Rule]:
    """Return every rule by its name; what is recorded by several rules, as name#2 and so on."""
    rules: dict[str, Rule] = {}
    for file in sorted(rule_tests.RULES.glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert") or rule["record"]
                copies = sum(other.partition("#")[0] == name for other in rules)
                rules[f"{name}#{copies + 1}" if copies else name] = rule
    return rules


def metrics(expression: str) -> set[str]:
    """Return the names of the metrics that an expression asks for."""
    return {node.name for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)}


def nodes(expression: str) -> list[Any]:
    """Return every part of an expression."""
    found: list[Any] = []
    promql_parser.transform(promql_parser.parse(expression), post_visit=found.append)
    return found


def closure(name: str, rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """Return a rule with all that it needs, what is needed first."""
    found: dict[str, Rule] = {}
    wanted = metrics(rules[name]["expr"])
    for other, rule in rules.items():
        if rule.get("record") in wanted and other != name:
            found |= closure(other, rules)
    return {**found, name: rules[name]}


def mutants(rules: Mapping[str, Rule]) -> Iterator[Mutant]:
    """Return every damage that can be done to the rules that tables test."""
    for name, rule in rules.items():
        for key in ("for", "keep_firing_for"):
            if key in rule:
                yield Mutant(name, f"without {key}", {other: rule[other] for other in rule if other != key})
        for damage, expression in _damaged(rule["expr"]):
            yield Mutant(name, damage, {**rule, "expr": expression})


def _damaged(expression: str) -> Iterator[tuple[str, str]]:
    for number, node in enumerate(nodes(expression)):
        for damage, text in _damages(node):
            yield f"{damage} (part {number})", _replaced(expression, number, text)


def _damages(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, promql_parser.NumberLiteral) and node.val != 0:
        yield f"half of {node.val:.10g}", f"{node.val / 2:.10g}"
    elif isinstance(node, promql_parser.VectorSelector):
        yield f"another name than {node.name}", node.prettify().replace(node.name, f"{node.name}_renamed", 1)
    elif isinstance(node, promql_parser.BinaryExpr) and str(node.op) in _GUARDS:
        yield f"without the guard {node.rhs.prettify()!r}", f"({node.lhs.prettify()})"


_GUARDS: Final = frozenset({"and", "unless"})


def _replaced(expression: str, number: int, text: str) -> str:
    turn = -1

    def visit(_node: Any) -> Any:
        nonlocal turn
        turn += 1
        return promql_parser.parse(text) if turn == number else None

    return str(promql_parser.transform(promql_parser.parse(expression), post_visit=visit).prettify())


class Bench:
    """Judges rules by the tables' tests, each alert beside the few rules that it needs."""

    def __init__(self, folder: Path) -> None:
        self.rules = shipped()
        self._folder = folder
        entries = {name: entry for table in rule_tests.tables().values() for name, entry in table.items()}
        self.tests = {name: rule_tests.Tests(name, entry) for name, entry in entries.items() if name in self.rules}
        self._needs = {name: closure(name, self.rules) for name in self.tests}

    def judge(self, alert: str, mutant: Mutant | None = None) -> str:
        """Return what the tests of an alert find wrong with the rules, or with damaged ones."""
        needed = copy.copy(self._needs[alert])
        if mutant is not None:
            needed[mutant.rule] = mutant.mutated
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            file = Path(name) / "rules.yml"
            file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": list(needed.values())}]}))
            tests = self.tests[alert]
            return rule_tests.judged(Path(name), [file], tests.all(), tests.step)

    def mutants(self) -> list[Mutant]:
        """Return the damages to all rules that some alert of the tables needs."""
        needed = {rule for needs in self._needs.values() for rule in needs}
        return [mutant for mutant in mutants(self.rules) if mutant.rule in needed]

    def kills(self, mutant: Mutant) -> bool:
        """Say whether some test notices the damage: those of the alerts that need the rule, cheap ones first."""
        alerts = sorted((a for a in self.tests if mutant.rule in self._needs[a]), key=self._cost)
        return any(self.judge(alert, mutant) for alert in alerts[:_ENOUGH])

    def _cost(self, alert: str) -> int:
        tests = self.tests[alert]
        return tests.ends // tests.step


# what every alert needs is noticed by the tests of a few, or not at all
_ENOUGH: Final = 4
