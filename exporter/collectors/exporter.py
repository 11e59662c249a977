"""The exporter about itself: its build and its settings."""

import platform
from typing import ClassVar, Final

from exporter import __version__
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


class SettingsState:
    """What is known of the settings in force."""

    def __init__(self, read_at: float) -> None:
        self.good = True
        self.read_at = read_at


class ExporterState:
    """Build and settings of this exporter."""

    name: ClassVar[str] = "exporter"
    families: ClassVar[tuple[Family, ...]] = (BUILD, RELOAD_OK, RELOAD_TIME)
    blocking: ClassVar[bool] = False

    def __init__(
        self, state: SettingsState, python: str = platform.python_version(), version: str = __version__
    ) -> None:
        self._state = state
        self._layout = Layout(((BUILD, [(python, version)]), (RELOAD_OK, [()]), (RELOAD_TIME, [()])))

    def collect(self) -> Block:
        """Return the three rows."""
        return self._layout.fill((b"1", b"1" if self._state.good else b"0", number(self._state.read_at)))
