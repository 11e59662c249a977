"""Thermal zones and cooling devices (/sys/class/thermal)."""

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_number, read_text, scale
from exporter.exposition import Family

TEMP: Final = Family(
    "node_thermal_zone_temp",
    "gauge",
    "Temperature of the zone in degrees Celsius (/sys/class/thermal/thermal_zone*/temp).",
    ("zone", "type"),
)
CUR_STATE: Final = Family(
    "node_cooling_device_cur_state",
    "gauge",
    "Step at which the device cools now, 0 for not at all (/sys/class/thermal/cooling_device*/cur_state).",
    ("name", "type"),
)
MAX_STATE: Final = Family(
    "node_cooling_device_max_state",
    "gauge",
    "Highest step at which the device can cool (/sys/class/thermal/cooling_device*/max_state).",
    ("name", "type"),
)

_DEVICE: Final = re.compile(r"(thermal_zone|cooling_device)([0-9]+)")

_ATTRIBUTES: Final = {
    "thermal_zone": ((TEMP, "temp", 1000),),
    "cooling_device": ((CUR_STATE, "cur_state", 1), (MAX_STATE, "max_state", 1)),
}


class ThermalZone(SysfsCollector):
    """Temperatures of thermal zones, steps of cooling devices; what has no answer now is absent."""

    name: ClassVar[str] = "thermal_zone"
    families: ClassVar[tuple[Family, ...]] = (TEMP, CUR_STATE, MAX_STATE)
    root: ClassVar[str] = "sys/class/thermal"
    needs_root: ClassVar[bool] = False

    def samples(self) -> Iterator[Sample]:
        """Yield the zones' and devices' rows. Raises KernelError naming the file that holds no number."""
        for entry in list_entries(self._root):
            match = _DEVICE.fullmatch(entry)
            kind = read_text(f"{self._root}/{entry}/type") if match is not None else None
            if match is not None and kind is not None:
                labels = (match[2], kind)
                for family, attribute, divisor in _ATTRIBUTES[match[1]]:
                    digits = read_number(f"{self._root}/{entry}/{attribute}")
                    if digits is not None:
                        yield family, labels, scale(digits, divisor)
