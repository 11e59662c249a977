"""Heat and isolation of processors."""

import shutil
from pathlib import Path

import pytest

from exporter.collectors.cpu import Cpu
from exporter.collectors.throttle import Throttles, parse_cpu_list
from exporter.kernel import KernelError, KernelFiles
from tests.support.kernel import collect
from tests.support.trees import TREES, cases, check_golden, files_of

TWO = TREES / "throttle/two-packages-6.1"
FILE = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"


@pytest.mark.parametrize("case", cases("throttle"), ids=lambda case: case.name)
def test_page_of_the_whole_collector(case: Path, rewrite_golden: bool) -> None:
    check_golden(case / "cpu.prom", collect(Cpu(files_of(case), 100)), rewrite=rewrite_golden)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [(b"\n", ""), (b"", ""), (b"3\n", "3"), (b"0-2\n", "0 1 2"), (b"2-3,7\n", "2 3 7"), (b"0,2,4-5\n", "0 2 4 5")],
)
def test_list_of_processors(text: bytes, cpus: str) -> None:
    assert list(parse_cpu_list(text, "isolated")) == cpus.split()


@pytest.mark.parametrize("text", [b"2-\n", b"-3\n", b"2-3", b"a\n", b"1-2-3\n", b"0x1\n", b"1;2\n"])
def test_what_is_no_list_of_processors_names_the_file(text: bytes) -> None:
    with pytest.raises(KernelError, match="isolated: expected a list"):
        list(parse_cpu_list(text, "isolated"))


def test_processor_that_is_listed_twice_has_one_row(tmp_path: Path) -> None:
    folder = tmp_path / "devices/system/cpu"
    folder.mkdir(parents=True)
    (folder / "isolated").write_bytes(b"2-3,3\n")
    throttles = Throttles(KernelFiles(sys=tmp_path))
    throttles.rebuild()
    assert throttles.render().count(b"node_cpu_isolated{") == 2


def test_machine_without_counters_renders_nothing(tmp_path: Path) -> None:
    throttles = Throttles(KernelFiles(tmp_path, tmp_path))
    assert throttles.render() == b""
    throttles.rebuild()
    assert throttles.render() == b""


def test_counter_that_rises_is_seen_and_one_that_is_garbage_names_its_file(tmp_path: Path) -> None:
    case = shutil.copytree(TWO, tmp_path / "case")
    throttles = Throttles(files_of(case))
    throttles.rebuild()
    assert b'node_cpu_core_throttles_total{core="0",package="0"} 5\n' in throttles.render()
    (case / FILE).write_text("6\n")
    assert b'node_cpu_core_throttles_total{core="0",package="0"} 6\n' in throttles.render()
    for bad in ("", "7", "-1\n", "x\n"):
        (case / FILE).write_text(bad)
        with pytest.raises(KernelError, match="cpu0/thermal_throttle/core_throttle_count"):
            throttles.render()
    (case / FILE).write_text("6\n")
    assert b'node_cpu_core_throttles_total{core="0",package="0"} 6\n' in throttles.render()


def test_processor_that_comes_is_found_by_the_next_rebuild(tmp_path: Path) -> None:
    case = shutil.copytree(TWO, tmp_path / "case")
    shutil.rmtree(case / "sys/devices/system/cpu/cpu4")
    throttles = Throttles(files_of(case))
    throttles.rebuild()
    assert b'core="1",package="1"' not in throttles.render()
    shutil.copytree(TWO / "sys/devices/system/cpu/cpu4", case / "sys/devices/system/cpu/cpu4")
    throttles.rebuild()
    assert b'node_cpu_core_throttles_total{core="1",package="1"} 10\n' in throttles.render()


def test_processor_that_goes_between_two_looks_takes_only_its_own_rows_along(tmp_path: Path) -> None:
    case = shutil.copytree(TWO, tmp_path / "case")
    throttles = Throttles(files_of(case))
    throttles.rebuild()  # finds the files, and has opened none so far
    shutil.rmtree(case / "sys/devices/system/cpu/cpu4")
    assert b'core="1",package="1"' not in throttles.render()
    assert b'node_cpu_core_throttles_total{core="0",package="1"} 9\n' in throttles.render()


def test_processor_that_goes_off_shows_at_once(tmp_path: Path) -> None:
    case = shutil.copytree(TREES / "throttle/ampere-arm64-6.6", tmp_path / "case")
    collector = Cpu(files_of(case), 100)
    assert b'node_cpu_online{cpu="2"} 1\n' in collect(collector)
    stat = case / "proc/stat"
    stat.write_text("".join(line for line in stat.read_text().splitlines(keepends=True) if not line.startswith("cpu2")))
    (case / "sys/devices/system/cpu/cpu2/online").write_text("0\n")
    collector._source._epoch = -1
    page = collect(collector)
    assert b'node_cpu_online{cpu="2"} 0\n' in page
    assert b'node_cpu_online{cpu="1"} 1\n' in page


def test_where_the_first_processor_cannot_be_off_none_is_said_to_be_on(tmp_path: Path) -> None:
    case = shutil.copytree(TREES / "throttle/ampere-arm64-6.6", tmp_path / "case")
    (case / "sys/devices/system/cpu/cpu0/online").unlink()
    assert b"node_cpu_online" not in collect(Cpu(files_of(case), 100))
