"""What holds for every collector of hardware and block devices: pages, devices that come and go, files cut short."""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from exporter.collector import NoData
from exporter.collectors.sysfs import Absence
from exporter.kernel import KernelError, KernelFiles
from tests.support.effort import tries
from tests.support.kernel import collect
from tests.support.machines import EACH_CASE, MACHINES, attributes
from tests.support.trees import check_golden, files_of, workplace

EACH = pytest.mark.parametrize("name", MACHINES)
# elements of a driver's own (Documentation/hwmon/sysfs-interface.rst knows them not), and zones named after dice
OWN = {
    ("node_hwmon_power_cap_default_watt", "gauge"),
    ("node_hwmon_pwm_max", "gauge"),
    ("node_hwmon_pwm_min", "gauge"),
    ("node_hwmon_pwm_auto_point1_pwm", "gauge"),
    ("node_hwmon_pwm_auto_point1_temp", "gauge"),
    ("node_rapl_package_0_die_0_joules_total", "counter"),
    ("node_rapl_package_0_die_1_joules_total", "counter"),
    ("node_rapl_package_1_die_0_joules_total", "counter"),
}


@pytest.fixture(scope="module")
def copies() -> Iterator[Callable[[str, Path], Path]]:
    """Give a copy of a case, the same each time: whoever changes it leaves it as it was."""
    with workplace() as folder:

        @cache
        def copy(name: str, case: Path) -> Path:
            return Path(shutil.copytree(case, folder / name / case.name, symlinks=True))

        yield copy


def page(name: str, case: Path) -> bytes:
    """Return the text of a case; what stands in front of its trees is cut off, rapl has it in a label."""
    return collect(MACHINES[name].make(files_of(case))).replace(str(case).encode(), b"")


def outcome(name: str, files: KernelFiles) -> bytes | None:
    """Return the text, None where there is none for a reason that the runner knows."""
    try:
        return collect(MACHINES[name].make(files))
    except (KernelError, NoData):
        return None


@EACH_CASE
def test_page(name: str, case: Path, rewrite_golden: bool) -> None:
    check_golden(case / "page.prom", page(name, case), rewrite=rewrite_golden)


@EACH_CASE
def test_no_row_but_of_a_declared_family(name: str, case: Path) -> None:
    collector = MACHINES[name].make(files_of(case))
    declared = {(family.name, family.kind) for family in collector.families}
    found = set(re.findall(r"^# TYPE (\S+) (\S+)$", page(name, case).decode(), re.MULTILINE))
    assert found - OWN <= declared


@EACH
def test_machine_without_any(name: str, tmp_path: Path) -> None:
    collector = MACHINES[name].make(KernelFiles(tmp_path / "proc", tmp_path / "sys"))
    for _ in range(2):
        assert not collector.blocking, "no thread where there is nothing to read"
        if MACHINES[name].fails_without:
            with pytest.raises(NoData):
                collector.collect()
        else:
            assert collector.collect() == b""


@EACH_CASE
def test_thread_only_where_a_driver_can_hold_the_reader_up(name: str, case: Path) -> None:
    collector = MACHINES[name].make(files_of(case))
    assert bool(collector.blocking) == MACHINES[name].asks_drivers


@EACH_CASE
def test_page_stays_the_same_while_nothing_changes_and_no_file_stays_open(name: str, case: Path) -> None:
    collector = MACHINES[name].make(files_of(case))
    first = collect(collector)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert [collect(collector) for _ in range(3)] == [first] * 3
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 16


@EACH_CASE
def test_devices_come_and_go(
    name: str, case: Path, copies: Callable[[str, Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Absence, "SECONDS", 0)
    copy = copies(name, case)
    collector = MACHINES[name].make(files_of(copy))
    whole = collect(collector)
    rng = random.Random(str(case))
    for victim in rng.sample(sorted(attributes(copy)), k=min(tries(12), len(list(attributes(copy))))):
        content = victim.read_bytes()
        victim.unlink()
        try:
            without: bytes | None = collect(collector)
        except (KernelError, NoData):
            without = None
        if name not in {"dmi", "mdadm"}:  # dmi is read once, and mdstat kept open: /proc never unlinks it
            assert without == outcome(name, files_of(copy)), f"not as a fresh collector's, without {victim}"
        victim.write_bytes(content)
        assert collect(collector) == whole, f"not as before, after {victim} came back"


def numbers(block: bytes) -> set[tuple[str, str]]:
    """Return the values of each family; labels may change with a file of words, values may not."""
    lines = (line for line in block.decode().splitlines() if not line.startswith("#"))
    return {(re.split(r"[{ ]", line)[0], line.rsplit(" ", 1)[1]) for line in lines}


@EACH_CASE
def test_file_cut_short_never_makes_another_number(name: str, case: Path, copies: Callable[[str, Path], Path]) -> None:
    copy = copies(name, case)
    good = numbers(collect(MACHINES[name].make(files_of(copy))))
    if name == "hwmon":
        good.add(("node_hwmon_chip_names", "1"))
    paths = list(attributes(copy))
    for path in random.Random(str(case)).sample(paths, min(tries(len(paths)), len(paths))):
        content = path.read_bytes()
        # a list of devices may be empty: the kernel writes no newline then
        for size in range(path.name in {"bonding_masters", "slaves"}, len(content), max(1, len(content) // tries(40))):
            path.write_bytes(content[:size])
            block = outcome(name, files_of(copy))
            if block is not None:
                assert numbers(block) <= good, f"{path} cut to {content[:size]!r}"
        path.write_bytes(content)
