"""COLLECTORS, the one table: names, families, settings agree."""

import re

import msgspec
import pytest

from exporter.collectors import COLLECTORS, Parts, make
from exporter.collectors.exporter import SettingsState
from exporter.collectors.runner import FAMILIES
from exporter.history import History
from exporter.settings.exporter import Collector, Collectors
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


@pytest.mark.parametrize(
    "family", [*FAMILIES, *(f for row in COLLECTORS for f in row.kind.families)], ids=lambda f: f.name
)
def test_family_keeps_the_rules_of_names_and_help(family: object) -> None:
    name, kind, text, labels = family  # type: ignore[misc]
    assert re.fullmatch(r"(node|host)_[a-zA-Z0-9_]+", name)
    assert name.endswith("_total") == (kind == "counter")
    assert text.endswith(".")
    assert "\n" not in text
    assert not set(labels) & {"type", "env", "environment", "region", "host", "instance", "job", "role"}
    assert all(re.fullmatch(r"[a-z_]+", label) for label in labels)
