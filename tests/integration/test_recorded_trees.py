"""Both releases of node_exporter on every recorded tree, hosts and single collectors: their rows are ours.

What may differ stands in tests/fixtures/parity/recorded.yaml, with its reason.
"""

import pytest

from tests.support.hosts import WHOLE
from tests.support.recorded import (
    GOLDEN,
    Difference,
    file_systems,
    find_differences,
    places,
    read_exemptions,
    their_file_systems,
)

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "node_exporter", "node_exporter-1.9")]

PLACES = list(places())


@pytest.fixture(scope="module")
def differences() -> list[Difference]:
    return find_differences(PLACES)


@pytest.mark.parametrize("tree", [place.name for place in PLACES])
def test_rows_on_a_recorded_tree_are_node_exporters(tree: str, differences: list[Difference]) -> None:
    exemptions = read_exemptions()
    here = [difference for difference in differences if difference.tree == tree]
    assert not [found for found in here if not any(exemption.covers(found) for exemption in exemptions)]


def test_every_written_exemption_is_needed(differences: list[Difference]) -> None:
    idle = [exemption for exemption in read_exemptions() if not any(map(exemption.covers, differences))]
    assert not idle


def test_both_had_trees_to_read() -> None:
    assert len(PLACES) > 100


# 1.9 ends with a panic where a mount point is no UTF-8
PANICS = {"server-64-cores-6.1"}


@pytest.mark.parametrize("host", [host for host in WHOLE if host not in PANICS])
def test_file_systems_of_a_recorded_host_are_node_exporters(host: str) -> None:
    ours = file_systems((GOLDEN / f"{host}.prom").read_bytes())
    assert ours
    assert ours == their_file_systems(host)
