"""The exporter's own process: the names of the client libraries, the numbers of the kernel."""

import gc
import re
import resource
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import process
from exporter.collectors.process import OwnProcess, parse_octets, parse_start, parse_statm
from exporter.kernel import KernelError, KernelFiles
from tests.support.kernel import collect
from tests.support.trees import TREES, OneCollector, cases, check_golden, files_of, series


def make(case: Path, limit: int = 1024) -> OwnProcess:
    collector = OwnProcess(files_of(case), lambda: 12.5, lambda _: (limit, limit))
    collector._page, collector._ticks_per_second = 4096, 100
    return collector


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TREES / "process/debian12-6.18", tmp_path / "tree"))


@pytest.mark.parametrize("case", cases("process"), ids=lambda case: case.name)
def test_page_is_the_recorded_one(case: Path, rewrite_golden: bool) -> None:
    collector = make(case)
    collector._count_files = lambda: 3  # type: ignore[method-assign] -- a recorded folder's size is its disk's
    check_golden(case / "page.prom", collect(collector), rewrite=rewrite_golden)


def test_no_limit_is_the_largest_number_as_in_the_client_libraries() -> None:
    page = collect(make(TREES / "process/debian12-6.18", resource.RLIM_INFINITY))
    assert b"\nprocess_virtual_memory_max_bytes 18446744073709551615\n" in page


@pytest.mark.needs("linux")
def test_live_numbers_are_psutils() -> None:
    gc.collect()  # files of earlier tests close now, not between the two readings
    page = series(collect(OwnProcess(KernelFiles())))
    ours = {name.removeprefix("process_"): value for (name, _), value in page.items()}
    theirs = psutil.Process()
    assert ours["cpu_seconds_total"] == pytest.approx(time.process_time(), abs=1)
    assert ours["start_time_seconds"] == pytest.approx(theirs.create_time(), abs=1.1)
    assert ours["resident_memory_bytes"] == pytest.approx(theirs.memory_info().rss, rel=0.2)
    assert ours["virtual_memory_bytes"] == pytest.approx(theirs.memory_info().vms, rel=0.2)
    assert ours["open_fds"] == pytest.approx(theirs.num_fds(), abs=3)
    assert ours["max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.needs("linux", "node_exporter")
def test_families_are_node_exporters() -> None:
    with OneCollector("loadavg") as peer:
        page = peer.page().decode()
    theirs = set(re.findall(r"^# TYPE (process_\S+ \S+)$", page, re.MULTILINE))
    ours = {f"{family.name} {family.kind}" for family in OwnProcess.families}
    # since client_golang 1.21 there are the two of the network, too
    assert theirs <= ours
    assert all("network" in family for family in ours - theirs)


@pytest.mark.parametrize("size", [0, 7])
def test_open_files_are_counted_whatever_the_kernel(tree: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Before Linux 6.2 the folder's size is 0, and its entries are counted, less the one that the listing opens."""
    collector = make(tree)
    kernel = SimpleNamespace(stat=lambda _: SimpleNamespace(st_size=size), listdir=lambda _: ["0", "1", "2", "9"])
    monkeypatch.setattr(process, "os", kernel)  # not os itself: pytest asks it, too
    assert collector._count_files() == (size or 3)


def test_start_stays_when_the_clock_is_set(tree: Path) -> None:
    collector = make(tree)
    first = series(collect(collector))["process_start_time_seconds", frozenset()]
    path = tree / "proc/stat"
    path.write_bytes(path.read_bytes().replace(b"btime 1700000000", b"btime 1700009999"))
    collector._kernel._epoch = -1
    assert series(collect(collector))["process_start_time_seconds", frozenset()] == first == 1700000000 + 1234.56


def test_kernel_without_ip_has_no_network_rows(tree: Path) -> None:
    (tree / "proc/net/netstat").unlink()
    assert b"network" not in collect(make(tree))


@pytest.mark.parametrize("name", ["self/statm", "self/stat", "stat"])
@pytest.mark.parametrize("text", [b"", b"cut 1 2", b"1 2 3 4 5 6 x\n"])
def test_cut_or_strange_file_is_an_error_with_its_name(tree: Path, name: str, text: bytes) -> None:
    (tree / "proc" / name).write_bytes(text)
    with pytest.raises(KernelError, match=f"proc/{name}"):
        collect(make(tree))


def test_missing_folder_of_files_is_an_error_with_its_name(tree: Path) -> None:
    shutil.rmtree(tree / "proc/self/fd")
    with pytest.raises(KernelError, match="self/fd: No such file"):
        collect(make(tree))


@pytest.mark.parametrize(
    "text",
    [
        b"IpExt: InOctets OutOctets\n",
        b"IpExt: InOctets OutOctets\nIpExt: 1 2",
        b"IpExt: InOctets OutOctets\nIpExt: 1\n",
        b"IpExt: InOctets OutOctets\nIpExt: 1 -2\n",
        b"IpExt: InOctets OutOctets\nTcpExt: 1 2\n",
    ],
)
def test_cut_or_strange_network_counters_are_refused(text: bytes) -> None:
    with pytest.raises(KernelError, match="proc/net/netstat"):
        parse_octets(text)


@pytest.mark.parametrize("text", [b"", b"TcpExt: A\nTcpExt: 1\n", b"IpExt: InBcastPkts\nIpExt: 1\n"])
def test_kernel_without_these_counters_is_no_error(text: bytes) -> None:
    assert parse_octets(text) is None


@given(st.binary(max_size=60))
def test_garbage_gives_no_numbers_but_its_own(text: bytes) -> None:
    for parse in (parse_statm, parse_start, parse_octets):
        try:
            found = parse(text)
        except KernelError:
            continue
        assert found is None or text.endswith(b"\n") or parse is parse_octets
