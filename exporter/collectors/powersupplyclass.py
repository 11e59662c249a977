"""Batteries, mains and other power supplies (/sys/class/power_supply)."""

from collections.abc import Iterator
from typing import ClassVar, Final

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_number, read_text, scale
from exporter.exposition import Family
from exporter.kernel import KernelFiles
from exporter.settings.values import Regex

# attribute: what stands in the metric's name for it; None for the attribute itself
# (Documentation/ABI/testing/sysfs-class-power; the names are node_exporter's)
_PLAIN: Final = {
    "authentic": None,
    "calibrate": None,
    "capacity": None,
    "capacity_alert_max": None,
    "capacity_alert_min": None,
    "cycle_count": "cyclecount",
    "online": None,
    "present": None,
    "time_to_empty_now": "time_to_empty_seconds",
    "time_to_full_now": "time_to_full_seconds",
}
# in millionths: microvolts, microamperes, microwatts, and hours of them
_MICRO: Final = {
    "charge_control_limit": None,
    "charge_control_limit_max": None,
    "charge_counter": None,
    "charge_empty": None,
    "charge_empty_design": None,
    "charge_full": None,
    "charge_full_design": None,
    "charge_now": "charge_ampere",
    "charge_term_current": None,
    "constant_charge_current": None,
    "constant_charge_current_max": None,
    "constant_charge_voltage": None,
    "constant_charge_voltage_max": None,
    "current_boot": None,
    "current_max": None,
    "current_now": "current_ampere",
    "energy_empty": None,
    "energy_empty_design": None,
    "energy_full": None,
    "energy_full_design": None,
    "energy_now": "energy_watthour",
    "input_current_limit": None,
    "power_now": "power_watt",
    "precharge_current": None,
    "voltage_boot": None,
    "voltage_max": None,
    "voltage_max_design": None,
    "voltage_min": None,
    "voltage_min_design": None,
    "voltage_now": "voltage_volt",
    "voltage_ocv": None,
}
# in tenths of a degree Celsius
_TENTHS: Final = (
    "temp",
    "temp_alert_max",
    "temp_alert_min",
    "temp_ambient",
    "temp_ambient_max",
    "temp_ambient_min",
    "temp_max",
    "temp_min",
)
_TEXTS: Final = (
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
)


def _family(name: str, attribute: str) -> Family:
    text = f"{attribute.replace('_', ' ').capitalize()}, in base units (/sys/class/power_supply/*/{attribute})."
    return Family(f"node_power_supply_{name}", "gauge", text, ("power_supply",))


VALUES: Final = (
    {attribute: (_family(name or attribute, attribute), 1) for attribute, name in _PLAIN.items()}
    | {attribute: (_family(name or attribute, attribute), 1_000_000) for attribute, name in _MICRO.items()}
    | {attribute: (_family(f"{attribute}_celsius", attribute), 10) for attribute in _TENTHS}
)
INFO: Final = Family(
    "node_power_supply_info",
    "gauge",
    "1 for each power supply, with what it is and how it feels (/sys/class/power_supply).",
    ("power_supply", *_TEXTS),
)


class PowerSupplyClass(SysfsCollector):
    """What each power supply tells of itself; what its driver has no answer for is absent."""

    name: ClassVar[str] = "powersupplyclass"
    families: ClassVar[tuple[Family, ...]] = (*(family for family, _ in VALUES.values()), INFO)
    root: ClassVar[str] = "sys/class/power_supply"

    def __init__(self, files: KernelFiles, ignored: Regex | None = None) -> None:
        """Take the expression that matches somewhere in the names to leave out."""
        super().__init__(files)
        self._ignored = ignored

    def samples(self) -> Iterator[Sample]:
        """Yield each supply's rows. Raises KernelError naming the file that holds no number."""
        for supply in list_entries(self._root):
            if self._ignored is None or self._ignored.pattern.search(supply) is None:
                folder = f"{self._root}/{supply}"
                attributes = list_entries(folder)
                for attribute in filter(VALUES.__contains__, attributes):
                    family, divisor = VALUES[attribute]
                    digits = read_number(f"{folder}/{attribute}")
                    if digits is not None:
                        yield family, (supply,), scale(digits, divisor)
                texts = (read_text(f"{folder}/{name}") or "" if name in attributes else "" for name in _TEXTS)
                yield INFO, (supply, *texts), b"1"
