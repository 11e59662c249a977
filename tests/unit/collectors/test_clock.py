"""time: the moment, the zone and the clock sources."""

import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.clock import Clock, parse_sources
from exporter.kernel import KernelError, KernelFiles
from tests.support.kernel import collect
from tests.support.trees import TREES, OneCollector, cases, check_golden, files_of, series

NOW = 1700000000.25
UTC = time.struct_time((2023, 11, 14, 22, 13, 20, 1, 318, 0), {"tm_zone": "UTC", "tm_gmtoff": 0})
IST = time.struct_time((2023, 11, 15, 3, 43, 20, 2, 319, 0), {"tm_zone": "IST", "tm_gmtoff": 19800})
CASES = pytest.mark.parametrize("case", cases("time"), ids=lambda case: case.name)


@CASES
def test_page_is_the_recorded_one(case: Path, rewrite_golden: bool) -> None:
    block = collect(Clock(files_of(case), lambda: NOW, lambda _: IST))
    check_golden(case / "page.prom", block, rewrite=rewrite_golden)


@CASES
@pytest.mark.needs("node_exporter")
def test_rows_are_node_exporters_but_for_the_moment(case: Path) -> None:
    with OneCollector("time", f"--path.sysfs={case / 'sys'}") as peer:
        before = time.time()
        theirs = series(peer.page(), "node_time")
        ours = series(collect(Clock(files_of(case))))
        after = time.time()
    moment = ("node_time_seconds", frozenset())
    assert before <= theirs.pop(moment) <= ours.pop(moment) <= after
    assert ours == theirs


def test_change_of_zone_and_of_clock_source_shows_at_once(tmp_path: Path) -> None:
    shutil.copytree(TREES / "time/debian12-6.18", tmp_path / "tree")
    zones = iter([UTC, IST, IST])
    collector = Clock(files_of(tmp_path / "tree"), lambda: NOW, lambda _: next(zones))
    assert b'node_time_zone_offset_seconds{time_zone="UTC"} 0\n' in collect(collector)
    assert b'node_time_zone_offset_seconds{time_zone="IST"} 19800\n' in collect_anew(collector)
    folder = tmp_path / "tree/sys/devices/system/clocksource/clocksource0"
    (folder / "current_clocksource").write_bytes(b"kvm-clock\n")
    assert b'current_info{clocksource="kvm-clock",device="0"} 1\n' in collect_anew(collector)


def collect_anew(collector: Clock) -> bytes:
    for source in collector._sources:
        for file in source:
            file._epoch = -1
    return collect(collector)


def test_tree_without_clock_sources_still_has_the_time(tmp_path: Path) -> None:
    rows = series(collect(Clock(KernelFiles(sys=tmp_path), lambda: NOW, lambda _: UTC)))
    assert {name for name, _ in rows} == {"node_time_seconds", "node_time_zone_offset_seconds"}


@pytest.mark.parametrize("text", [b"", b"\n", b"tsc", b"tsc \xff\n", b"a\0b\n"])
def test_cut_or_strange_clock_source_is_refused(text: bytes) -> None:
    with pytest.raises(KernelError, match="current_clocksource"):
        parse_sources("current_clocksource", text)


@given(st.binary(max_size=100))
def test_garbage_is_refused_or_names(text: bytes) -> None:
    try:
        names = parse_sources("f", text)
    except KernelError:
        return
    assert names
    assert all(name.encode() in text.split() for name in names)
