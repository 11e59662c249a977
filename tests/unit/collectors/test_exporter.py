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


def test_dropped_series_are_told_of_each_collector_as_they_come() -> None:
    dropped = {"cpu": 0}
    collector = ExporterState(SettingsState(0), dropped)
    collector.collect()
    dropped |= {"cpu": 7, "netdev": 1}
    rows = dict(rows_of(collector.collect()))
    assert rows['host_exporter_series_dropped_total{collector="cpu"}'] == 7
    assert rows['host_exporter_series_dropped_total{collector="netdev"}'] == 1
