"""What evaluating all rules costs: a hundred hosts of 700 series each, with the history that rules look at."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from tests.support import mutation
from tests.support.client import until
from tests.support.peer import fetch
from tests.support.pipeline import ROOT, Configs, ShippedPrometheus
from tests.support.scaling import milliseconds
from tests.support.simulated_fleet import SERIES, Fleet, list_targets, serving, spans

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "prometheus")]

HOSTS: Final = 100
# of the time between two evaluations
GOAL: Final = 0.10
# what is measured; groups with a longer interval are evaluated once in it, oftener than they would be: on the safe side
WINDOW_SECONDS: Final = 60
BASE_SECONDS: Final = 15
RULE_FILES: Final = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
_GROUP: Final = re.compile(
    r'^prometheus_rule_(group_last_duration_seconds|group_iterations_total)\{rule_group="[^;]*;(.*)"\} (\S+)$',
    re.MULTILINE,
)


def groups() -> dict[str, dict[str, Any]]:
    return {group["name"]: group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]}


def intervals() -> dict[str, float]:
    """Return the shipped interval of each group, in seconds."""
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    usual = config["global"]["evaluation_interval"]
    return {name: milliseconds(group.get("interval", usual)) / 1000 for name, group in groups().items()}


def evaluate_often(configs: Configs) -> None:
    """Have every group evaluated in the window, and change nothing else."""
    every = intervals()
    for file in (configs.prometheus.parent / "rules").glob("*.yml"):
        document = yaml.safe_load(file.read_text())
        for group in document["groups"]:
            group["interval"] = f"{min(every[group['name']], WINDOW_SECONDS):.0f}s"
        file.write_text(yaml.safe_dump(document, sort_keys=False))


class Fixture(NamedTuple):
    configs: Configs
    prometheus: ShippedPrometheus


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    folder = tmp_path_factory.mktemp("fleet")
    fleet, configs = Fleet(HOSTS), Configs(folder / "configs")
    evaluate_often(configs)
    every = intervals()
    steps = {
        rule["record"]: int(every[name])
        for name, group in groups().items()
        for rule in group["rules"]
        if "record" in rule
    }
    samples = fleet.write_history(folder / "data", spans(list(mutation.shipped().values())), steps)
    assert samples < 6_000_000, "a rule looks at so many raw samples that it cannot be cheap: record what it needs"
    with serving(fleet) as port, ShippedPrometheus(configs, folder / "data") as running:
        list_targets(configs.prometheus.parent / "targets", fleet, port)
        expression = f'count(scrape_samples_scraped{{job="node"}} == {SERIES})'
        until(lambda: running.value(expression) == HOSTS, "all are scraped", seconds=90, every=0.5)
        yield Fixture(configs, running)


def told(prometheus: ShippedPrometheus) -> dict[str, tuple[float, float]]:
    """Return evaluations so far and seconds of the last one, by group."""
    page = fetch(f"http://127.0.0.1:{prometheus.port}/metrics").decode()
    found: dict[str, dict[str, float]] = {}
    for what, group, value in _GROUP.findall(page):
        found.setdefault(group, {})[what] = float(value)
    return {group: (one["group_iterations_total"], one["group_last_duration_seconds"]) for group, one in found.items()}


def missed(prometheus: ShippedPrometheus) -> float:
    """Return how many evaluations of all groups were missed so far."""
    page = fetch(f"http://127.0.0.1:{prometheus.port}/metrics").decode()
    found = re.findall(r"^prometheus_rule_group_iterations_missed_total\{.*\} (\S+)$", page, re.MULTILINE)
    return sum(map(float, found))


def cpu_seconds(prometheus: ShippedPrometheus) -> float:
    """Return the processor time of all its threads so far (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{prometheus.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spent(prometheus: ShippedPrometheus, seconds: float, look: Callable[[], object]) -> float:
    """Return processor time per second, over so many seconds."""
    before, begun = cpu_seconds(prometheus), time.monotonic()
    while time.monotonic() < begun + seconds:
        look()
        time.sleep(0.5)
    return (cpu_seconds(prometheus) - before) / (time.monotonic() - begun)


def switch_rules(fleet: Fixture, pattern: str) -> None:
    """Have Prometheus read these rule files, and wait until it evaluates them or none."""
    text = re.sub(r"^- \w+/\*\.yml$", f"- {pattern}", fleet.configs.prometheus.read_text(), flags=re.MULTILINE)
    fleet.configs.prometheus.write_text(text)
    assert fleet.prometheus.reload() == 200
    wanted = set(groups()) if pattern.startswith("rules/") else set()
    until(lambda: _evaluated(fleet) == wanted, f"rules of {pattern}", seconds=90, every=0.5)


def _evaluated(fleet: Fixture) -> set[str]:
    """Return the groups that were evaluated; those that are evaluated seldom count as they are."""
    seldom = {name for name, seconds in intervals().items() if seconds > WINDOW_SECONDS}
    return {group for group, (times, _) in told(fleet.prometheus).items() if times > 0 or group in seldom}


@pytest.mark.measured
def test_evaluating_all_rules_takes_less_than_a_tenth_of_the_time_between(
    fleet: Fixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """By Prometheus' own clock, prometheus_rule_group_last_duration_seconds, the shortest of each group counts: on a
    machine that others share the others are evaluations that waited. Its processor time is shown beside it, which also
    has the garbage collector on the other core in it: what it takes more with the rules than without.
    """
    best: dict[str, float] = {}

    def look() -> None:
        for group, (times, seconds) in told(fleet.prometheus).items():
            if times > 0:
                best[group] = min(seconds, best.get(group, seconds))

    switch_rules(fleet, "rules/*.yml")
    before = missed(fleet.prometheus)
    busy = spent(fleet.prometheus, WINDOW_SECONDS, look)
    assert missed(fleet.prometheus) == before, "this machine is too busy to evaluate them all, and to tell"
    assert set(best) == set(groups())
    switch_rules(fleet, "none/*.yml")
    idle = spent(fleet.prometheus, BASE_SECONDS, lambda: None)
    every = intervals()
    share = sum(seconds / every[name] for name, seconds in best.items())
    with capsys.disabled():
        print(f"\n{HOSTS} hosts of {SERIES} series: all rules take {share:.1%} of their intervals by the clock;")
        print(f"processor time of one core: {busy - idle:.1%}, and scrapes {idle:.1%}")
        for name, seconds in sorted(best.items(), key=lambda one: -one[1] / every[one[0]]):
            part = seconds / every[name]
            print(f"  {name:18} {seconds * 1000:7.1f} ms by the clock of {every[name]:4.0f} s  {part:6.2%}")
    assert share < GOAL
    assert busy - idle < 2 * GOAL
