"""Typed settings: `values` are their kinds, `exporter` those of the daemon, `reading` turns strict YAML into them."""

from exporter.settings.reading import SettingsError, load, override, parse
from exporter.settings.schema import schema
from exporter.settings.values import Duration, Regex, default, parse_address

__all__ = ["Duration", "Regex", "SettingsError", "default", "load", "override", "parse", "parse_address", "schema"]
