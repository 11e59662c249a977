"""Which devices the settings want."""

from typing import NamedTuple

from exporter.settings.values import Regex


class DeviceFilter(NamedTuple):
    """Expressions that must match a device's whole name; where there is one to include by, it alone decides."""

    include: Regex | None = None
    exclude: Regex | None = None

    def wants(self, name: str) -> bool:
        """Whether a device of that name has rows."""
        if self.include is not None:
            return self.include.pattern.fullmatch(name) is not None
        return self.exclude is None or self.exclude.pattern.fullmatch(name) is None
