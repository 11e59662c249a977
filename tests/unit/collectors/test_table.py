"""COLLECTORS, the one table: names, families, settings agree."""

import re

import msgspec
import pytest

from exporter.collectors import COLLECTORS, Parts, make
from exporter.collectors.exporter import SettingsState
from exporter.collectors.process import OwnProcess
from exporter.collectors.runner import FAMILIES
from exporter.exposition import Family
from exporter.history import History
from exporter.settings.collectors import Collector, Collectors
from tests.support.kernel import MemoryFiles


def parts(settings: Collectors | None = None) -> Parts:
    return Parts(MemoryFiles({}), settings or Collectors(), History(5), SettingsState(0))


def test_each_collector_has_its_key_in_the_settings_and_each_key_a_collector() -> None:
    assert sorted(row.kind.name for row in COLLECTORS) == sorted(Collectors.__struct_fields__)


def test_made_collectors_are_of_their_rows_kind() -> None:
    assert [type(made) for made in make(parts(), "linux")] == [row.kind for row in COLLECTORS]


@pytest.mark.parametrize("name", [row.kind.name for row in COLLECTORS])
def test_collector_that_is_switched_off_is_not_made(name: str) -> None:
    off = msgspec.structs.replace(getattr(Collectors(), name), enabled=False)
    settings = msgspec.structs.replace(Collectors(), **{name: off})
    assert isinstance(off, Collector)
    assert [made.name for made in make(parts(settings), "linux")] == [
        row.kind.name for row in COLLECTORS if row.kind.name != name
    ]


@pytest.mark.parametrize("platform", ["darwin", "freebsd14", "win32"])
def test_other_systems_get_what_needs_no_kernel_files(platform: str) -> None:
    assert [made.name for made in make(parts(), platform)] == ["exporter", "usage"]


# what node_exporter calls so: dashboards count on it, though our rules would have it otherwise
A_TYPE_LABEL = "a label that says too little, or is the target's"
A_GAUGE_IN_TOTAL = "_total and counter belong together"
NODE_EXPORTERS_OWN = {
    "node_btrfs_device_errors_total": A_TYPE_LABEL,
    "node_cooling_device_cur_state": A_TYPE_LABEL,
    "node_cooling_device_max_state": A_TYPE_LABEL,
    "node_disk_filesystem_info": A_TYPE_LABEL,
    "node_power_supply_info": A_TYPE_LABEL,
    "node_systemd_socket_refused_connections_total": A_GAUGE_IN_TOTAL,
    "node_systemd_unit_state": A_TYPE_LABEL,
    "node_thermal_zone_temp": A_TYPE_LABEL,
}


def _complaints(family: Family) -> list[str]:
    """Return which rules of names a family breaks."""
    rules = {
        "the prefix tells whose contract it is": re.fullmatch(r"(node|host)_[a-zA-Z0-9_]+", family.name)
        or family in OwnProcess.families,  # process_* is the contract of Prometheus' client libraries
        A_GAUGE_IN_TOTAL: family.name.endswith("_total") == (family.kind == "counter"),
        "help is a sentence on one line": family.help.endswith(".") and "\n" not in family.help,
        A_TYPE_LABEL: not set(family.labels)
        & {"type", "env", "environment", "region", "host", "instance", "job", "role"},
        "labels are small words": all(re.fullmatch(r"[a-z_]+", label) for label in family.labels),
    }
    return [rule for rule, kept in rules.items() if not kept]


@pytest.mark.parametrize(
    "family", [*FAMILIES, *(f for row in COLLECTORS for f in row.kind.families)], ids=lambda f: f.name
)
def test_family_keeps_the_rules_of_names_and_help(family: Family) -> None:
    excepted = NODE_EXPORTERS_OWN.get(family.name)
    assert _complaints(family) == ([] if excepted is None else [excepted])


def test_only_names_of_node_exporter_are_excepted() -> None:
    families = {family.name for row in COLLECTORS for family in row.kind.families}
    assert families >= NODE_EXPORTERS_OWN.keys()
    assert all(name.startswith("node_") for name in NODE_EXPORTERS_OWN)
