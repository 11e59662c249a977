"""Sensors: names that stay the same, units, filters, chips that change places."""

import shutil
from pathlib import Path

import pytest

from exporter.collectors.hwmon import Filter, HwMon, clean, family_of, find_sensors, read_value
from exporter.kernel import KernelFiles
from exporter.settings.values import Regex
from tests.support.trees import TREES, files_of, series

SERVER = TREES / "hwmon/server-6.1"


@pytest.mark.parametrize(
    ("kind", "element", "name", "type_", "divisor"),
    [
        ("temp", "input", "node_hwmon_temp_celsius", "gauge", 1000),
        ("temp", "crit", "node_hwmon_temp_crit_celsius", "gauge", 1000),
        ("temp", "crit_alarm", "node_hwmon_temp_crit_alarm_celsius", "gauge", 1000),
        ("temp", "alarm", "node_hwmon_temp_alarm", "gauge", 1),
        ("temp", "type", "node_hwmon_temp_type", "gauge", 1),
        ("fan", "input", "node_hwmon_fan_rpm", "gauge", 1),
        ("fan", "div", "node_hwmon_fan_div", "gauge", 1),
        ("in", "beep", "node_hwmon_in_beep_enabled", "gauge", 1),
        ("energy", "input", "node_hwmon_energy_joule_total", "counter", 1_000_000),
        ("power", "average_interval", "node_hwmon_power_average_interval_seconds", "gauge", 1000),
        ("power", "accuracy", "node_hwmon_power_accuracy", "gauge", 1_000_000),
        ("pwm", "", "node_hwmon_pwm", "gauge", 1),
        ("humidity", "input", "node_hwmon_humidity", "gauge", 1_000_000),
        ("beep_enable", "", "node_hwmon_beep_enabled", "gauge", 1),
        ("temp", "Odd-Thing.", "node_hwmon_temp_odd_thing_celsius", "gauge", 1000),
    ],
)
def test_name_type_and_unit_of_an_element(kind: str, element: str, name: str, type_: str, divisor: int) -> None:
    family, found = family_of(kind, element)
    assert (family.name, family.kind, found) == (name, type_, divisor)


def test_input_stands_in_the_name_where_the_sensor_has_a_plain_file_too() -> None:
    assert family_of("pwm", "input", has_plain=True)[0].name == "node_hwmon_pwm_input"


def test_each_family_is_declared_once() -> None:
    names = [family.name for family in HwMon.families]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("text", "name"), [("coretemp", "coretemp"), ("0000:3d:00.0", "0000:3d:00_0"), ("__Ä b__", "b"), ("--", "")]
)
def test_odd_letters_of_a_name_become_underscores(text: str, name: str) -> None:
    assert clean(text) == name


def test_files_that_are_no_sensors_are_left_alone() -> None:
    assert find_sensors({"d": ["name", "uevent", "temp1_input", "temp12_max", "tempo_input", "7"]}) == {
        ("temp", "temp1"): {"input": "d/temp1_input"},
        ("temp", "temp12"): {"max": "d/temp12_max"},
    }


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"45000\n", b"45"),
        (b"-273150\n", b"-273.15"),
        (b" 84850 \n", b"84.85"),
        (b"1.5\n", b"0.0015"),
        (b"95.0%\n", None),
        (b"45000", None),
        (b"", None),
        (b"0x10\n", None),
        (b"1e3\n", None),
        (b"\xff\n", None),
    ],
)
def test_value_of_a_file(tmp_path: Path, content: bytes, value: bytes | None) -> None:
    (tmp_path / "temp1_input").write_bytes(content)
    assert read_value(str(tmp_path / "temp1_input"), 1000) == value


def chips(block: bytes) -> set[str]:
    return {dict(labels)["chip"] for _, labels in series(block)}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(Regex("coretemp")), {"platform_coretemp_0"}),
        (Filter(None, Regex("^(platform|pci|device|odd|thermal)")), {"i2c_1_1_0040", "nvme_nvme0"}),
    ],
    ids=["include", "exclude"],
)
def test_chips_can_be_chosen(wanted: Filter, found: set[str]) -> None:
    assert chips(HwMon(files_of(SERVER), chips=wanted).collect()) == found


def test_sensors_can_be_chosen_by_chip_and_name() -> None:
    block = HwMon(files_of(SERVER), sensors=Filter(Regex("coretemp_0;temp1$"))).collect()
    assert {dict(labels)["sensor"] for name, labels in series(block) if name != "node_hwmon_chip_names"} == {"temp1"}


def test_another_chip_under_the_same_number_has_its_own_name_and_sensors(tmp_path: Path) -> None:
    root = tmp_path / "sys/class/hwmon"
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, name in ((old, "lm75"), (new, "lm85")):
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "temp1_input").write_text("20000\n")
    root.mkdir(parents=True)
    (root / "hwmon0").symlink_to(old)
    collector = HwMon(KernelFiles(tmp_path, tmp_path / "sys"))
    assert chips(collector.collect()) == {"lm75"}
    (root / "hwmon0").unlink()
    (root / "hwmon0").symlink_to(new)
    assert chips(collector.collect()) == {"lm85"}
    shutil.rmtree(new)
    assert chips(collector.collect()) == set()
