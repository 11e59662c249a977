"""Each alert's tests, from the tables in alerts/: all kinds there, all true, and no damage to a rule goes unnoticed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import mutation, rule_tests

# always fires: what can be said of it stands in watchdog_test.yml
WITHOUT_TABLE = {"Watchdog"}
RULES = mutation.shipped()
TABLES = rule_tests.tables()
ENTRIES = {name: (stem, entry) for stem, table in TABLES.items() for name, entry in table.items()}


def alerts_of(file: Path) -> list[str]:
    groups = yaml.safe_load(file.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


def test_every_alert_has_its_table_and_every_table_its_alert() -> None:
    shipped = {name: file.stem for file in rule_tests.RULES.glob("*.yml") for name in alerts_of(file)}
    tested = {name: stem for name, (stem, _) in ENTRIES.items()}
    assert {name: stem for name, stem in shipped.items() if name not in WITHOUT_TABLE} == tested


def test_every_alert_has_every_kind_of_test() -> None:
    assert {name: lacks for name, (_, entry) in ENTRIES.items() if (lacks := rule_tests.lacking(entry))} == {}


def test_whatever_is_kept_firing_has_a_test_of_that() -> None:
    keeping = {name for name in ENTRIES if "keep_firing_for" in RULES[name]}
    assert keeping == {name for name, (_, entry) in ENTRIES.items() if "kept" in entry}


@pytest.mark.parametrize("kind", rule_tests.KINDS)
def test_the_gate_names_a_kind_that_is_missing(kind: str) -> None:
    _, entry = ENTRIES["HostMemoryHigh"]
    without = {key: value for key, value in entry.items() if key not in rule_tests.KINDS[kind]}
    assert rule_tests.lacking(without) == [kind]


def test_an_alert_can_be_switched_off_and_links_to_its_dashboard_at_that_time() -> None:
    for name, (_, entry) in ENTRIES.items():
        assert f'unless on (instance)\n  host:alert_off:info{{alert="{name}"}}' in RULES[name]["expr"], name
        url = RULES[name]["annotations"]["dashboard_url"]
        assert url.startswith(rule_tests.dashboard(entry, "{{ $labels.instance | urlquery }}") + "from="), name


def test_only_an_alert_on_no_host_links_to_another_dashboard_than_the_host_s() -> None:
    assert [name for name, (_, entry) in ENTRIES.items() if "board" in entry] == ["PipelinePartMissing"]


def test_every_threshold_is_used_and_told_of_in_the_manual() -> None:
    names = {name for name in RULES if name.startswith("host:threshold:")}
    used = {metric for rule in RULES.values() for metric in mutation.metrics(rule["expr"])}
    assert names - used == set()
    manual = (rule_tests.ROOT / "docs" / "alerting.md").read_text()
    assert [name for name in sorted(names) if f"`{name.rpartition(':')[2]}`" not in manual] == []


def test_samples_are_written_out_as_the_table_says() -> None:
    spread = rule_tests._spread
    assert rule_tests._samples(spread([[2, "5"], [1, "_"], [1, "+3"]], 6)) == ["5", "5", "stale", "8", "11", "14"]
    assert rule_tests._samples(spread("100+-2.5", 3)) == ["100", "97.5", "95"]
    assert rule_tests._samples(["_", "_", "1"]) == ["_", "_", "1"]


@pytest.mark.slow
@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("name", ENTRIES)
def test_an_alert_does_what_its_table_says(name: str, tmp_path: Path) -> None:
    assert mutation.Bench(tmp_path).judge(name) == ""


@pytest.mark.slow
@pytest.mark.needs("prometheus")
def test_whole_rule_files_do_what_a_table_says(tmp_path: Path) -> None:
    stem, entry = ENTRIES["ServiceTooFewInstances"]
    tests = rule_tests.Tests("ServiceTooFewInstances", entry)
    files = [rule_tests.RULES / f"{stem}.yml", rule_tests.RULES / "thresholds.yml"]
    assert rule_tests.judged(tmp_path, files, tests.all(), tests.step) == ""


def test_a_damage_changes_one_thing() -> None:
    rule: dict[str, Any] = {"alert": "A", "expr": "rate(a[5m]) > 0.8 and b == 0 unless c", "for": "1m"}
    found = [
        (mutant.damage, mutant.mutated["expr"], "for" in mutant.mutated) for mutant in mutation.mutants({"A": rule})
    ]
    assert [damage.partition(" (part")[0] for damage, _, _ in found] == [
        "without for",
        "another name than a",
        "half of 0.8",
        "another name than b",
        "without the guard 'b == 0'",
        "another name than c",
        "without the guard 'c'",
    ]
    assert found[0] == ("without for", rule["expr"], False)
    assert all(expression != rule["expr"] and has_for for _, expression, has_for in found[1:])
