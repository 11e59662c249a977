"""The exporter about itself."""

import platform

from exporter import __version__
from exporter.collectors.exporter import ExporterState, SettingsState
from tests.support.kernel import rows_of


def test_build_and_settings_in_force() -> None:
    state = SettingsState(1_700_000_000.5)
    collector = ExporterState(state)
    build = f'host_exporter_build_info{{python="{platform.python_version()}",version="{__version__}"}}'
    assert dict(rows_of(collector.collect())) == {
        build: 1,
        "host_exporter_settings_reload_successful": 1,
        "host_exporter_settings_reload_success_timestamp_seconds": 1_700_000_000.5,
    }
    state.good, state.read_at = False, 1_700_000_001
    rows = dict(rows_of(collector.collect()))
    assert rows["host_exporter_settings_reload_successful"] == 0
    assert rows["host_exporter_settings_reload_success_timestamp_seconds"] == 1_700_000_001
