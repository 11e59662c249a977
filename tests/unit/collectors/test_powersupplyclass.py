"""Power supplies that are to be left out; the rest is in test_machines."""

from exporter.collectors.powersupplyclass import PowerSupplyClass
from exporter.settings.values import Regex
from tests.support.trees import TREES, files_of


def test_supply_can_be_ignored_by_a_part_of_its_name() -> None:
    block = PowerSupplyClass(files_of(TREES / "powersupplyclass/laptop-6.1"), Regex("^BAT")).collect()
    assert b'power_supply="AC"' in block
    assert b"BAT0" not in block


def test_nothing_is_ignored_by_the_default_of_node_exporter() -> None:
    files = files_of(TREES / "powersupplyclass/laptop-6.1")
    assert PowerSupplyClass(files, Regex("^$")).collect() == PowerSupplyClass(files).collect()
