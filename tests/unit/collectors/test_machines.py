"""What holds for every collector of hardware and block devices: pages, node_exporter beside them, broken files."""

import random
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.collector import NoData
from exporter.collectors.sysfs import Absence
from exporter.kernel import KernelError, KernelFiles
from tests.support.effort import tries
from tests.support.kernel import collect
from tests.support.machines import CASES, EACH_CASE, MACHINES, attributes
from tests.support.trees import OneCollector, check_golden, files_of, series

EACH = pytest.mark.parametrize("name", MACHINES)
# node_exporter has watchdog since 1.9
BESIDE = [(name, case) for name, case in CASES if name != "watchdog"]
IN_BOTH = pytest.mark.parametrize(("name", "case"), BESIDE, ids=[f"{name}-{case.name}" for name, case in BESIDE])
SINCE_1_9 = re.compile(
    "node_cpu_scaling_governor|node_hwmon_freq_freq_mhz|node_hwmon_sensor_label|node_cooling_device_.*"
    "|node_thermal_zone_temp|node_btrfs_.*commit.*"
)
# node_exporter takes the microseconds of btree_read_average_duration_us for nanoseconds
WRONG_THERE = "node_bcache_btree_read_average_duration_seconds"


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
    # attributes of a driver's own, named after it (Documentation/hwmon/sysfs-interface.rst knows them not)
    own = {("node_hwmon_pwm_auto_point1_pwm", "gauge"), ("node_hwmon_pwm_auto_point1_temp", "gauge")}
    assert found - own <= declared


@pytest.mark.slow
@pytest.mark.needs("node_exporter")
@IN_BOTH
def test_rows_are_those_of_node_exporter(name: str, case: Path) -> None:
    collector = MACHINES[name].make(files_of(case)).name
    # git keeps no empty folder, and node_exporter does not start without its trees: then the case itself stands in
    proc, sys = (case / tree if (case / tree).is_dir() else case for tree in ("proc", "sys"))
    with OneCollector(collector, f"--path.procfs={proc}", f"--path.sysfs={sys}") as peer:
        theirs = series(peer.page(), "node_")
    families = {family.name for family in MACHINES[name].make(files_of(case)).families} - {WRONG_THERE}
    theirs = {key: value for key, value in theirs.items() if key[0] in families or key[0].startswith("node_hwmon")}
    ours = series(collect(MACHINES[name].make(files_of(case))), "node_")
    assert theirs.keys() <= ours.keys()
    assert {key[0] for key in ours.keys() - theirs.keys() if not SINCE_1_9.fullmatch(key[0])} <= {WRONG_THERE}
    # theirs multiplies where ours divides: the last digit of a float may differ
    assert {key: ours[key] for key in theirs} == pytest.approx(theirs, rel=1e-12, abs=0)


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
def test_devices_come_and_go(name: str, case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Absence, "SECONDS", 0)
    copy = shutil.copytree(case, tmp_path / "case", symlinks=True)
    collector = MACHINES[name].make(files_of(copy))
    whole = collect(collector)
    rng = random.Random(str(case))
    for victim in rng.sample(sorted(attributes(copy)), k=min(12, len(list(attributes(copy))))):
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
def test_file_cut_short_never_makes_another_number(name: str, case: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(case, tmp_path / "case", symlinks=True)
    good = numbers(collect(MACHINES[name].make(files_of(copy))))
    if name == "hwmon":
        good.add(("node_hwmon_chip_names", "1"))
    paths = list(attributes(copy))
    for path in random.Random(str(case)).sample(paths, min(tries(len(paths)), len(paths))):
        content = path.read_bytes()
        # a list of devices may be empty: the kernel writes no newline then
        for size in range(path.name in {"bonding_masters", "slaves"}, len(content), max(1, len(content) // 40)):
            path.write_bytes(content[:size])
            block = outcome(name, files_of(copy))
            if block is not None:
                assert numbers(block) <= good, f"{path} cut to {content[:size]!r}"
        path.write_bytes(content)


@settings(max_examples=tries(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 10**6), where=st.integers(0, 10**6), data=st.binary(max_size=5000))
def test_garbage_is_a_failure_or_valid_text(tmp_path: Path, which: int, where: int, data: bytes) -> None:
    name, case = CASES[which % len(CASES)]
    copy = tmp_path / f"{name}-{case.name}"
    if not copy.exists():
        shutil.copytree(case, copy, symlinks=True)
    files = sorted(attributes(case))
    victim = copy / files[where % len(files)].relative_to(case)
    content = victim.read_bytes()
    victim.write_bytes(data)
    try:
        block = outcome(name, files_of(copy))
    finally:
        victim.write_bytes(content)
    if block is not None:
        series(block)  # the parser refuses what is no text format, and a row that is there twice
