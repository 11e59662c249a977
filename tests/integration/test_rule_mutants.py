"""No damage to an alert rule goes unnoticed by the tests in prometheus/tests/alerts/: a sample, and all in a soak."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.support import mutation, rule_tests

pytestmark = [pytest.mark.slow, pytest.mark.needs("prometheus")]

SURVIVORS = rule_tests.ROOT / "prometheus" / "tests" / "surviving_mutants.yml"


def excused() -> dict[str, str]:
    listed: dict[str, str] = yaml.safe_load(SURVIVORS.read_text()) or {}
    return listed


@pytest.mark.soak(100_000, 40)
def test_some_test_notices_each_damage_to_a_rule(tmp_path: Path, count: int) -> None:
    bench = mutation.Bench(tmp_path)
    # another sample each day, the same one all day
    chosen = random.Random(int(time.time() // 86400)).sample(bench.mutants(), k=min(count, len(bench.mutants())))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        killed = list(pool.map(bench.kills, chosen))
    alive = [mutant.name for mutant, dead in zip(chosen, killed, strict=True) if not dead]
    assert [name for name in alive if name not in excused()] == []


def test_few_damages_are_excused_each_with_a_reason_and_still_possible(tmp_path: Path) -> None:
    possible = {mutant.name for mutant in mutation.Bench(tmp_path).mutants()}
    assert set(excused()) - possible == set(), "listed, and not a damage that can be done any more"
    assert all(excused().values())
    assert len(excused()) <= 0.05 * len(possible)
