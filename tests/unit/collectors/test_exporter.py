"""The exporter about itself."""

import platform

from exporter import __version__
from exporter.collectors.exporter import ExporterState, SettingsState
from tests.support.kernel import rows_of


def test_build_and_settings_in_force() -> None:
    state = SettingsState(1_700_000_000.5)
    collector = ExporterState(state, {"cpu": 0})
    build = f'host_exporter_build_info{{python="{platform.python_version()}",version="{__version__}"}}'
    assert dict(rows_of(collector.collect())) == {
        build: 1,
        "host_exporter_settings_reload_successful": 1,
        "host_exporter_settings_reload_success_timestamp_seconds": 1_700_000_000.5,
        'host_exporter_series_dropped_total{collector="cpu"}': 0,
    }
    state.good, state.read_at = False, 1_700_000_001
    rows = dict(rows_of(collector.collect()))
    assert rows["host_exporter_settings_reload_successful"] == 0
    assert rows["host_exporter_settings_reload_success_timestamp_seconds"] == 1_700_000_001


class Locks:
    """The web configuration, as far as it is told of."""

    def __init__(self) -> None:
        self.good = True
        self.read_at = 1_700_000_007.5


OK, READ_AT = "host_exporter_web_config_reload_successful", "host_exporter_web_config_reload_success_timestamp_seconds"


def test_web_configuration_has_rows_of_its_own_where_there_is_one() -> None:
    web = Locks()
    collector = ExporterState(SettingsState(1_700_000_000, web), {"cpu": 0})
    rows = dict(rows_of(collector.collect()))
    assert (rows[OK], rows[READ_AT]) == (1, 1_700_000_007.5)
    web.good = False
    rows = dict(rows_of(collector.collect()))
    assert (rows[OK], rows[READ_AT]) == (0, 1_700_000_007.5), "the one in force is as old as it was"
    assert rows["host_exporter_settings_reload_successful"] == 1, "the settings are another file"


def test_without_a_web_configuration_nothing_is_said_of_it() -> None:
    rows = dict(rows_of(ExporterState(SettingsState(0), {}).collect()))
    assert not {OK, READ_AT} & rows.keys()


def test_dropped_series_are_told_of_each_collector_as_they_come() -> None:
    dropped = {"cpu": 0}
    collector = ExporterState(SettingsState(0), dropped)
    collector.collect()
    dropped |= {"cpu": 7, "netdev": 1}
    rows = dict(rows_of(collector.collect()))
    assert rows['host_exporter_series_dropped_total{collector="cpu"}'] == 7
    assert rows['host_exporter_series_dropped_total{collector="netdev"}'] == 1
