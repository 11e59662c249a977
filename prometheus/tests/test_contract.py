"""Every metric and label of the rules is one that some part of hostwatch declares, or stands in a short list here."""

import re
from pathlib import Path
from typing import Any, Final

import promql_parser

from exporter.collectors.runner import FAMILIES
from exporter.relay.gauges import ROWS
from tests.support import catalogue, mutation

ROOT: Final = Path(__file__).parents[2]
RULES: Final = mutation.shipped()
OF_EVERY_TARGET: Final = frozenset({"instance", "job"})
# Prometheus' and Alertmanager's own (2.42 and 2.53, 0.25 and 0.28), as far as rules ask for them
OF_OTHERS: Final[dict[str, frozenset[str]]] = {
    "up": frozenset(),
    "prometheus_config_last_reload_successful": frozenset(),
    "prometheus_rule_evaluation_failures_total": frozenset({"rule_group"}),
    "prometheus_notifications_errors_total": frozenset({"alertmanager"}),
    "prometheus_notifications_sent_total": frozenset({"alertmanager"}),
    "prometheus_notifications_alertmanagers_discovered": frozenset(),
    "alertmanager_config_last_reload_successful": frozenset(),
    "alertmanager_notifications_failed_total": frozenset({"integration", "reason"}),
    "alertmanager_notifications_total": frozenset({"integration"}),
}
# what operators write into textfiles and rule files: docs/alerting.md
OF_OPERATORS: Final = {
    "host_expected_info": frozenset({"target"}),
    "host_container_expected_info": frozenset({"name"}),
    "host_alert_off": frozenset({"alert", "exported_instance"}),
    "host_threshold_override": frozenset({"threshold", "exported_instance"}),
}


def declared() -> dict[str, frozenset[str]]:
    collectors = [*(row.kind for row in catalogue.COLLECTORS), *catalogue.PROBES]
    families = [*FAMILIES, *(family for collector in collectors for family in collector.families)]
    known = {family.name: frozenset(family.labels) for family in families}
    for family in families:
        if family.kind == "histogram":
            known |= {f"{family.name}{suffix}": frozenset(family.labels) for suffix in ("_sum", "_count")}
            known[f"{family.name}_bucket"] = frozenset({*family.labels, "le"})
    return known | {row.name: frozenset(row.labels) for row in ROWS} | OF_OTHERS | OF_OPERATORS


DECLARED: Final = declared()
RECORDED: Final = frozenset(name.partition("#")[0] for name, rule in RULES.items() if "record" in rule)
KNOWN_LABELS: Final = OF_EVERY_TARGET.union(*DECLARED.values(), {"resource"})


def selectors(expression: str) -> list[Any]:
    return [node for node in mutation.nodes(expression) if isinstance(node, promql_parser.VectorSelector)]


def named_labels(expression: str) -> set[str]:
    """Return the labels by which an expression groups and matches."""
    found: set[str] = set()
    for node in mutation.nodes(expression):
        modifier = getattr(node, "modifier", None)
        for part in (modifier, getattr(modifier, "matching", None)):
            found |= set(getattr(part, "labels", None) or ())
    return found


def strangers(expression: str) -> set[str]:
    """Return what an expression asks for and nobody exposes: metrics, and labels as metric{label}."""
    found = named_labels(expression) - KNOWN_LABELS - {"threshold", "alert"}
    for node in selectors(expression):
        labels = {matcher.name for matcher in node.matchers.matchers}
        if node.name in DECLARED:
            found |= {f"{node.name}{{{label}}}" for label in labels - DECLARED[node.name] - OF_EVERY_TARGET}
        elif node.name not in RECORDED:
            found.add(node.name)
    return found


def test_rules_ask_only_for_metrics_and_labels_that_somebody_exposes() -> None:
    assert {name: found for name, rule in RULES.items() if (found := strangers(rule["expr"]))} == {}


def test_the_manual_and_the_runbooks_name_only_metrics_that_somebody_exposes() -> None:
    known = {*DECLARED, *RECORDED}
    for page in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        named = set(re.findall(r"(?<![\w/:-])(?:host|node|relay)_[a-z0-9_]{6,}[a-z0-9](?![\w:(*])", page.read_text()))
        assert {name for name in named if not any(one.startswith(name) for one in known)} == set(), page.name


def test_the_check_sees_what_it_has_to() -> None:
    assert [node.name for node in selectors('rate(a{b="c"}[5m] offset 1m) / on (d) group_left () sum by (e) (f)')] == [
        "a",
        "f",
    ]
    assert strangers("host_cpu_usage_ratio") == set()
    assert strangers("host_cpu_usage") == {"host_cpu_usage"}
    assert strangers('node_cpu_seconds_total{core="1"}') == {"node_cpu_seconds_total{core}"}
    assert strangers("sum by (cores) (up) / on (hots) up") == {"cores", "hots"}


def test_rules_mean_the_same_in_prometheus_3() -> None:
    """No function that is gone, and no pattern whose dot would now match a line break."""
    for name, rule in RULES.items():
        assert "holt_winters" not in rule["expr"], name
        values = [matcher.value for node in selectors(rule["expr"]) for matcher in node.matchers.matchers]
        assert [value for value in values if "." in value] == [], name
