"""Sensors of hardware monitoring chips (/sys/class/hwmon)."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, NamedTuple

from exporter.collectors.sysfs import Sample, SysfsCollector, list_entries, read_attribute, read_text
from exporter.exposition import Family, number
from exporter.kernel import KernelFiles
from exporter.settings.values import Regex

_LABELS: Final = ("chip", "sensor")

CHIP_NAMES: Final = Family(
    "node_hwmon_chip_names",
    "gauge",
    "1 for the name that each chip gives itself (/sys/class/hwmon/CHIP/name).",
    ("chip", "chip_name"),
)
SENSOR_LABEL: Final = Family(
    "node_hwmon_sensor_label",
    "gauge",
    "1 for the label that a driver gives a sensor (/sys/class/hwmon/CHIP/*_label).",
    ("chip", "sensor", "label"),
)

_LIMITS: Final = "input min max lcrit crit average lowest highest alarm min_alarm max_alarm lcrit_alarm crit_alarm"
_POWER: Final = (
    f"{_LIMITS} average_interval average_interval_min average_interval_max average_min average_max accuracy"
    " input_lowest input_highest cap cap_min cap_max cap_hyst cap_alarm is_battery enable"
)
_TEMP: Final = (
    f"{_LIMITS} min_hyst max_hyst lcrit_hyst crit_hyst emergency emergency_hyst emergency_alarm offset type beep"
    " fault enable"
)
# kinds of sensor, what each measures and its documented elements, `-` for a file without
# (Documentation/hwmon/sysfs-interface.rst); an element that a driver adds of its own is exposed likewise
_DOCUMENTED: Final = {
    "beep_enable": ("Whether the chip may beep", "-"),
    "cpu": ("Core voltage that the processor asks for", "vid"),
    "curr": ("Current", f"{_LIMITS} beep enable"),
    "energy": ("Energy used", "input enable"),
    "fan": ("Fan speed", "input min max target alarm min_alarm max_alarm beep div pulses fault enable"),
    "freq": ("Clock frequency", "input"),
    "humidity": ("Relative humidity", "input min max min_hyst max_hyst alarm min_alarm max_alarm fault"),
    "in": ("Voltage", f"{_LIMITS} beep enable"),
    "intrusion": ("Chassis intrusion", "alarm beep"),
    "power": ("Power", _POWER),
    "pwm": ("Fan control", "- enable mode freq auto_channels_temp"),
    "temp": ("Temperature", _TEMP),
    "update_interval": ("Time between two measurements", "-"),
    "vrm": ("Version of the voltage regulator", "-"),
}
_WHOLE_CHIP: Final = {
    "beep_enable": ("beep_enabled", 1),
    "update_interval": ("update_interval_seconds", 1000),
    "vrm": ("voltage_regulator_version", 1),
}
_UNITS: Final = {
    "cpu": ("_volts", 1000),
    "curr": ("_amps", 1000),
    "energy": ("_joule_total", 1_000_000),
    "humidity": ("", 1_000_000),
    "in": ("_volts", 1000),
    "power": ("_watt", 1_000_000),
    "temp": ("_celsius", 1000),
}
# elements whose unit is not that of their kind
_OTHER_UNITS: Final = {
    ("fan", "input"): ("_rpm", 1),
    ("fan", "max"): ("_rpm", 1),
    ("fan", "min"): ("_rpm", 1),
    ("fan", "target"): ("_rpm", 1),
    ("freq", "input"): ("_freq_mhz", 1_000_000),
    ("power", "accuracy"): ("", 1_000_000),
    ("power", "average_interval"): ("_seconds", 1000),
    ("power", "average_interval_max"): ("_seconds", 1000),
    ("power", "average_interval_min"): ("_seconds", 1000),
    ("temp", "type"): ("", 1),
}
_FILE: Final = re.compile(r"([^0-9]+)([0-9]*)(?:_(.+))?")
_VALUE: Final = re.compile(rb"\s*-?\d+(?:\.\d+)?\s*\n")
_ODD: Final = re.compile(r"[^a-z0-9:_]")


class Filter(NamedTuple):
    """Names wanted: `include` matches somewhere in them and `exclude` nowhere; None of either is no condition."""

    include: Regex | None = None
    exclude: Regex | None = None

    def passes(self, text: str) -> bool:
        """Return whether a name is wanted."""
        if self.include is not None and self.include.pattern.search(text) is None:
            return False
        return self.exclude is None or self.exclude.pattern.search(text) is None


_ALL: Final = Filter()


class Reading(NamedTuple):
    """One file of a chip, and where its value goes."""

    path: str
    family: Family
    labels: tuple[str, str]
    divisor: int


class Chip(NamedTuple):
    """What a folder of the class holds, for as long as it belongs to the same device and has the same files."""

    identity: tuple[object, ...]
    facts: Sequence[Sample] = ()
    readings: Sequence[Reading] = ()


def clean(text: str) -> str:
    """Return text as names of chips and metrics hold it: lower case, what is odd an underscore, none at the ends."""
    return _ODD.sub("_", text.lower()).strip("_")


def unit_of(kind: str, element: str) -> tuple[str, int]:
    """Return what ends the metric's name, and what its values are divided by."""
    if element in {"alarm", "fault"}:
        return "", 1
    if element == "beep":
        return "_enabled", 1
    return _OTHER_UNITS.get((kind, element)) or _UNITS.get(kind, ("", 1))


def family_of(kind: str, element: str, *, has_plain: bool = False) -> tuple[Family, int]:
    """Return the family of one element of a kind of sensor, and the divisor of its values.

    `has_plain` says that the sensor has a file without an element too: then `input` stands in the name.
    """
    what = _DOCUMENTED[kind][0]
    if kind in _WHOLE_CHIP:
        name, divisor = _WHOLE_CHIP[kind]
        return Family(f"node_hwmon_{name}", "gauge", f"{what} (/sys/class/hwmon/CHIP/{kind}).", _LABELS), divisor
    middle = f"_{clean(element)}" if element and (element != "input" or has_plain) else ""
    suffix, divisor = unit_of(kind, element)
    form: Literal["counter", "gauge"] = "counter" if suffix == "_joule_total" else "gauge"
    file = f"{kind}*_{element}" if element else f"{kind}*"
    help_text = f"{what} of a sensor (/sys/class/hwmon/CHIP/{file})."
    return Family(f"node_hwmon_{kind}{middle}{suffix}", form, help_text, _LABELS), divisor


def _documented_families() -> tuple[Family, ...]:
    pairs = ((kind, element) for kind, (_, elements) in _DOCUMENTED.items() for element in elements.split())
    return tuple(family_of(kind, "" if element == "-" else element)[0] for kind, element in pairs)


class HwMon(SysfsCollector):
    """Temperatures, fans, voltages, currents, power; a sensor that has no answer is absent, the others stay."""

    name: ClassVar[str] = "hwmon"
    families: ClassVar[tuple[Family, ...]] = (CHIP_NAMES, SENSOR_LABEL, *_documented_families())
    root: ClassVar[str] = "sys/class/hwmon"

    def __init__(self, files: KernelFiles, chips: Filter = _ALL, sensors: Filter = _ALL) -> None:
        """Take the chips wanted, and the sensors wanted by `CHIP;SENSOR`."""
        super().__init__(files)
        self._chip_filter = chips
        self._sensor_filter = sensors
        self._chips: dict[str, Chip] = {}

    def samples(self) -> Iterator[Sample]:
        """Yield what every wanted sensor shows; what a chip consists of is looked up when its files changed."""
        entries = list_entries(self._root)
        self._chips = {entry: chip for entry in entries if (chip := self._chip(entry)) is not None}
        for chip in self._chips.values():
            yield from chip.facts
            for reading in chip.readings:
                value = read_value(reading.path, reading.divisor)
                if value is not None:
                    yield reading.family, reading.labels, value

    def _chip(self, entry: str) -> Chip | None:
        folder = f"{self._root}/{entry}"
        try:
            inode = os.stat(folder).st_ino  # noqa: PTH116 -- once a chip and scrape
        except OSError:
            return None  # the chip went between the two looks
        # up to Linux 3.12, and in some drivers since, the sensors stand in the folder of the device itself
        places = {path: list_entries(path) for path in (folder, f"{folder}/device")}
        identity = (inode, *map(tuple, places.values()))
        known = self._chips.get(entry)
        return known if known is not None and known.identity == identity else self._look_up(folder, places, identity)

    def _look_up(self, folder: str, places: Mapping[str, Sequence[str]], identity: tuple[object, ...]) -> Chip:
        chip = name_chip(folder)
        if not self._chip_filter.passes(chip):
            return Chip(identity)
        own_name = clean(read_text(f"{folder}/name") or "")
        facts: list[Sample] = [(CHIP_NAMES, (chip, own_name), b"1")] if own_name else []
        readings: list[Reading] = []
        for (kind, sensor), paths in find_sensors(places).items():
            if self._sensor_filter.passes(f"{chip};{sensor}"):
                label = read_text(paths.pop("label")) if "label" in paths else None
                if label is not None:
                    facts.append((SENSOR_LABEL, (chip, sensor, label), b"1"))
                readings += readings_of((chip, sensor), kind, paths, label)
        return Chip(identity, facts, readings)


def name_chip(folder: str) -> str:
    """Return a name that stays the same over boots: after the device, else after the chip's own name, else hwmonN.

    The number in hwmonN follows the order in which drivers were loaded.
    """
    device = Path(folder, "device")
    if device.exists():
        device = device.resolve()
        name = clean(device.name)
        if name:
            return "_".join(filter(None, (clean(device.parent.name), name)))
    return clean(read_text(f"{folder}/name") or "") or clean(Path(folder).resolve().name)


def find_sensors(places: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], dict[str, str]]:
    """Return the path of each element of each sensor, by kind (`temp`) and sensor (`temp1`); later places win."""
    out: dict[tuple[str, str], dict[str, str]] = {}
    for folder, names in places.items():
        for name in names:
            match = _FILE.fullmatch(name)
            if match is not None and match[1] in _DOCUMENTED:
                sensor = f"{match[1]}{int(match[2] or 0)}"
                out.setdefault((match[1], sensor), {})[match[3] or ""] = f"{folder}/{name}"
    return out


def readings_of(labels: tuple[str, str], kind: str, paths: Mapping[str, str], label: str | None) -> Iterator[Reading]:
    """Yield the readings of one sensor: `labels` are chip and sensor, `paths` its files by element."""
    for element, path in paths.items():
        if (kind, element) == ("freq", "input"):
            if label is not None:  # node_exporter puts the label in the sensor's place, and tells nothing without
                yield Reading(path, family_of(kind, element)[0], (labels[0], clean(label)), 1_000_000)
            continue
        if kind in _WHOLE_CHIP and element:
            continue
        family, divisor = family_of(kind, element, has_plain="" in paths)
        yield Reading(path, family, labels, divisor)


def read_value(path: str, divisor: int) -> bytes | None:
    """Return a sensor's value; None when it has none now or is no number, as the words of some power meters are."""
    raw = read_attribute(path)
    if raw is None or _VALUE.fullmatch(raw) is None:
        return None
    digits = raw.strip()
    return digits if divisor == 1 else number(float(digits) / divisor)
