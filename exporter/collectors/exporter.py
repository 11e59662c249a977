"""The exporter about itself: its build and its settings."""

import platform
from collections.abc import Mapping
from typing import ClassVar, Final, Protocol

from exporter import __version__
from exporter.collectors.cardinality import DROPPED
from exporter.exposition import Block, Family, Layout, number

BUILD: Final = Family(
    "host_exporter_build_info", "gauge", "1; version of hostwatch and of Python in the labels.", ("python", "version")
)
RELOAD_OK: Final = Family(
    "host_exporter_settings_reload_successful", "gauge", "1 where the settings file was good when last read (SIGHUP)."
)
RELOAD_TIME: Final = Family(
    "host_exporter_settings_reload_success_timestamp_seconds",
    "gauge",
    "Moment the settings in force were read, seconds since the epoch.",
)


class Readable(Protocol):
    """What is known of a file in force: whether it was good when last read, and when it was last good."""

    good: bool
    read_at: float


class SettingsState:
    """What is known of the settings in force, and of the web configuration where there is one."""

    def __init__(self, read_at: float, web: Readable | None = None) -> None:
        self.good = True
        self.read_at = read_at
        self.web = web


WEB_OK: Final = Family(
    "host_exporter_web_config_reload_successful",
    "gauge",
    "1 where the web configuration file was good when last read; only with --web-config.",
)
WEB_TIME: Final = Family(
    "host_exporter_web_config_reload_success_timestamp_seconds",
    "gauge",
    "Moment the web configuration in force was read, seconds since the epoch.",
)


class ExporterState:
    """Build and settings of this exporter."""

    name: ClassVar[str] = "exporter"
    families: ClassVar[tuple[Family, ...]] = (BUILD, RELOAD_OK, RELOAD_TIME, WEB_OK, WEB_TIME, DROPPED)
    blocking: ClassVar[bool] = False

    def __init__(
        self,
        state: SettingsState,
        dropped: Mapping[str, int],
        python: str = platform.python_version(),
        version: str = __version__,
    ) -> None:
        self._state = state
        self._dropped = dropped
        self._build = (python, version)
        self._names: list[str] | None = None
        self._layout = Layout(())

    def collect(self) -> Block:
        """Return the rows."""
        names = list(self._dropped)
        if names != self._names:
            self._rebuild(names)
        values = [b"1"]
        for state in (self._state, self._state.web):
            if state is not None:
                values += b"1" if state.good else b"0", number(state.read_at)
        return self._layout.fill(values + [b"%d" % count for count in self._dropped.values()])

    def _rebuild(self, names: list[str]) -> None:
        web = [()] if self._state.web is not None else []
        rows = ((BUILD, [self._build]), (RELOAD_OK, [()]), (RELOAD_TIME, [()]), (WEB_OK, web), (WEB_TIME, web))
        self._layout = Layout([*rows, (DROPPED, [(name,) for name in names])])
        self._names = names
