"""What may be asked of Prometheus: every metric with its labels, as the parts of hostwatch expose it.

The exporter's and the relay's are declared in the code, and golden pages and live tests hold the code to it. Those of
Prometheus and Alertmanager stand on recorded pages, tests/fixtures/pages/; PAGES is the list of them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from exporter.collectors import COLLECTORS
from exporter.collectors.runner import FAMILIES
from tests.support import catalogue, mutation

PAGES_FOLDER: Final = Path(__file__).parents[1] / "fixtures" / "pages"
PAGES: Final = ("prometheus-2.42", "prometheus-2.53", "alertmanager-0.25", "alertmanager-0.28")

# what each target gets from Prometheus' targets; environment and role come from the inventory
OF_EVERY_TARGET: Final = frozenset({"instance", "job", "environment", "role"})
# made by Prometheus about scrapes and alerts, on no page (prometheus.io, "Jobs and instances", "Alerting rules")
OF_SCRAPES: Final = {
    name: frozenset[str]()
    for name in ("up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_series_added")
}
ALERTS: Final = frozenset({"alertname", "alertstate", "severity"})
# what operators write into textfiles and rule files: docs/alerting.md
OF_OPERATORS: Final = {
    "host_expected_info": frozenset({"target"}),
    "host_container_expected_info": frozenset({"name"}),
    "host_alert_off": frozenset({"alert", "exported_instance"}),
    "host_threshold_override": frozenset({"threshold", "exported_instance", "resource"}),
}
# what the exporter of a drill shows beside its subject: docs/drills.md
OF_DRILLS: Final = {"host_drill_active": frozenset({"drill"})}
# labels of containers, as docs/containers.md has them in its settings
OF_SETTINGS: Final = {"host_container_info": frozenset({"compose_service"})}
SUBJECTS: Final = frozenset({"mountpoint", "target", "check", "device", "resource", "api_service", "name"})

Labels = Mapping[str, frozenset[str]]


def recorded(page: str) -> dict[str, frozenset[str]]:
    """Return metrics and labels of a recorded page; a row is a name and its labels."""
    rows: dict[str, frozenset[str]] = {}
    file = PAGES_FOLDER / f"{page}.txt"
    for line in file.read_text().splitlines() if file.exists() else ():  # a test says which is not there
        name, _, labels = line.partition(" ")
        rows[name] = rows.get(name, frozenset()) | frozenset(labels.split(",")) - {""}
    return rows


def of_exporter() -> dict[str, frozenset[str]]:
    """Return what `hostwatch serve` declares."""
    collectors = [*(row.kind for row in COLLECTORS), *catalogue.PROBES]
    families = [*FAMILIES, *(family for collector in collectors for family in collector.families)]
    known = {family.name: frozenset(family.labels) for family in families}
    for family in families:
        if family.kind == "histogram":
            known |= {f"{family.name}{suffix}": frozenset(family.labels) for suffix in ("_sum", "_count")}
            known[f"{family.name}_bucket"] = frozenset({*family.labels, "le"})
    return known


def of_relay() -> dict[str, frozenset[str]]:
    """Return what `hostwatch relay` declares."""
    return {family.name: frozenset(family.labels) for family in catalogue.relay_families()}


def joined(parts: Iterable[Labels]) -> dict[str, frozenset[str]]:
    """Return all metrics; what several expose has the labels of any."""
    found: dict[str, frozenset[str]] = {}
    for part in parts:
        for name, labels in part.items():
            found[name] = found.get(name, frozenset()) | labels
    return found


EXPORTER: Final = of_exporter()
RELAY: Final = of_relay()
RULES: Final = mutation.shipped()
DECLARED: Final = joined([EXPORTER, RELAY, OF_SCRAPES, OF_OPERATORS, OF_DRILLS, OF_SETTINGS, *map(recorded, PAGES)])
# what rules record, by name: one or more expressions, each with the labels that the rule adds
RECORDED: Final[dict[str, list[tuple[str, frozenset[str]]]]] = {}
for _rule in RULES.values():
    if "record" in _rule:
        RECORDED.setdefault(_rule["record"], []).append((_rule["expr"], frozenset(_rule.get("labels", {}))))
