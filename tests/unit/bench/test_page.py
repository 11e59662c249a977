import gzip
from pathlib import Path

import pytest

from bench import page
from bench.answer import Answer
from bench.failures import BenchError
from bench.sets import SIX, TEN

PAGE = b"""# HELP node_cpu_seconds_total CPU.
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="idle"} 90.5
node_cpu_seconds_total{cpu="0",mode="user"} 9.5
node_cpu_seconds_total{cpu="1",mode="idle"} 50
node_filesystem_size_bytes{device="/dev/vda",fstype="ext4",mountpoint="/"} 1e+10
node_load1 0.5
node_memory_MemTotal_bytes 8e+09
node_network_receive_bytes_total{device="lo"} 7
node_boot_time_seconds 1.7e+09
go_goroutines 8
""" + b"".join(b'node_scrape_collector_success{collector="%s"} 1\n' % name.encode() for name in SIX)


def test_a_whole_fresh_page_has_no_problem() -> None:
    assert list(page.problems(PAGE, 100.0)) == []


@pytest.mark.parametrize(
    ("old", "new", "core_seconds", "problem"),
    [
        (b"\nnode_load1 0.5", b"", 100.0, "no sample of node_load1"),
        (b'{collector="netdev"} 1', b'{collector="netdev"} 0', 100.0, "the collector netdev did not succeed"),
        (b"", b"", 102.0, "old values: core 0 has 100.00 s on the page, 102.00 s in the kernel"),
        (b"", b"", 98.0, "old values: core 0 has 100.00 s on the page, 98.00 s in the kernel"),
    ],
    ids=["sample missing", "collector failed", "page of before", "made-up clock"],
)
def test_a_server_that_answers_less_is_found_out(old: bytes, new: bytes, core_seconds: float, problem: str) -> None:
    assert list(page.problems(PAGE.replace(old, new), core_seconds)) == [problem]


def test_a_larger_set_must_be_there_too() -> None:
    found = list(page.problems(PAGE, 100.0, collectors=TEN))
    assert len(found) == 2 * len(TEN.keys() - SIX.keys())
    assert "the collector vmstat did not succeed" in found


def test_values_read_while_the_client_waited_are_not_old() -> None:
    assert list(page.problems(PAGE, 102.0, waited=1.5)) == []
    assert list(page.problems(PAGE, 102.0, waited=0.5)) != []
    assert list(page.problems(PAGE, 98.0, waited=1.5)) != []


def test_an_empty_page_fails_every_collector() -> None:
    assert len(list(page.problems(b"", 100.0))) == 2 * len(SIX) + 1


def test_samples_are_lines_that_are_no_comments() -> None:
    assert len(page.sample_lines(b'# HELP a b\n# TYPE a gauge\na 1\n\na{b="c # d"} 2\n# EOF\n')) == 2


def test_series_about_the_exporter_itself_are_left_out() -> None:
    series = page.host_series(PAGE)
    assert b"node_load1" in series
    assert b'node_cpu_seconds_total{cpu="1",mode="idle"}' in series
    assert not any(name.startswith((b"go_", b"node_scrape_")) for name in series)


def test_an_empty_label_is_the_same_as_none() -> None:
    old = b'node_disk_info{device="vda",path="",serial="a",wwn=""} 1\nnode_a{b=""} 1\nnode_c{d="",e="f"} 1\n'
    new = b'node_disk_info{device="vda",serial="a"} 2\nnode_a{} 2\nnode_c{e="f"} 2\n'
    assert page.host_series(old) == page.host_series(new)


def test_a_compressed_body_is_read() -> None:
    assert page.text_of(Answer(200, gzip.compress(PAGE), True, 0)) == PAGE
    assert page.text_of(Answer(200, PAGE, False, 0)) == PAGE


@pytest.mark.parametrize("body", [gzip.compress(PAGE)[:-9], b"plain"], ids=["cut short", "not gzip"])
def test_a_body_that_is_no_gzip_is_an_error(body: bytes) -> None:
    with pytest.raises(BenchError, match="no gzip"):
        page.text_of(Answer(200, body, True, 0))


def test_core_seconds_leave_guest_time_out(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 200 300 400 0 0 0 50 7000 8000\nintr 1\n")
    assert page.read_core_seconds(stat) == 10.5
