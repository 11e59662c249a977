"""Files of /proc/PID: what is read out of them, and that nothing else is."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel import KernelError
from exporter.processes.procfs import (
    PAGE_BYTES,
    ProcFs,
    parse_cgroups,
    parse_command_line,
    parse_io,
    parse_limit,
    parse_stat,
    parse_swap,
)
from tests.support.processes import KERNEL_THREAD, FakeProcess

NAMES = st.binary(max_size=15).filter(lambda name: b"\0" not in name)


@given(NAMES, st.integers(0, 2**63), st.integers(0, 2**63), st.booleans())
def test_stat_is_read_whatever_the_name(name: bytes, user: int, start: int, kernel: bool) -> None:
    fake = FakeProcess(
        "NAME", "R", 7, user=user, system=2, threads=3, start=start, virtual=4096, faults=5, child_faults=6
    )
    fake.flags = KERNEL_THREAD if kernel else 0
    stat = parse_stat(fake.text(9, "stat").replace(b"NAME", name))
    assert stat == (name, b"R", 7, kernel, 11, 6, user, 2, 3, start, 4096, 16 * PAGE_BYTES)


@given(st.binary(max_size=300) | st.integers(0, 400).map(lambda cut: FakeProcess().text(9, "stat")[:cut]))
def test_what_is_no_stat_is_an_error_or_its_own_numbers(text: bytes) -> None:
    stat = None
    with contextlib.suppress(KernelError):
        stat = parse_stat(text)
    assert stat is None or str(stat.start).encode() in text


@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_an_error_or_nothing(text: bytes) -> None:
    for parse in (parse_io, parse_limit):
        with pytest.raises(KernelError, match="/proc/PID/"):
            parse(text)
    assert parse_swap(text) == 0
    assert isinstance(parse_cgroups(text), tuple)
    assert isinstance(parse_command_line(text), str)


def test_io_is_what_reached_storage() -> None:
    assert parse_io(FakeProcess(read=4096, written=512).text(1, "io")) == (4096, 512)


def test_swap_is_in_bytes_and_0_without_memory_of_its_own() -> None:
    assert parse_swap(FakeProcess(swap=10240).text(1, "status")) == 10240
    assert parse_swap(b"Name:\tkthreadd\nThreads:\t1\n") == 0


@pytest.mark.parametrize(("text", "limit"), [("1024", 1024), ("unlimited", None), ("0", 0)])
def test_limit_of_open_files(text: str, limit: int | None) -> None:
    assert parse_limit(FakeProcess(limit=text).text(1, "limits")) == limit


def test_process_that_ends_while_its_limits_are_read_has_none() -> None:
    with pytest.raises(ProcessLookupError):
        parse_limit(b"")


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (b"0::/system.slice/web.service\n", ("/system.slice/web.service",)),
        (
            b"4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/system.slice/web.service\n0::/\n",
            ("/system.slice/web.service", "/", "/docker/abc"),
        ),
        (b"0::/a:b/c\xff\n", ("/a:b/c\\xff",)),
        (b"", ()),
        (b"garbage\n", ()),
    ],
    ids=["version 2", "version 1 and both", "colon and no UTF-8", "empty", "garbage"],
)
def test_paths_of_control_groups(text: bytes, paths: tuple[str, ...]) -> None:
    assert parse_cgroups(text) == paths


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"/usr/bin/web\0--port\x0080\0", "/usr/bin/web --port 80"),
        (b"nginx: worker process\0\0\0\0", "nginx: worker process"),
        (b"", ""),
        (b"a\xff\0", "a\\xff"),
    ],
)
def test_command_line_is_one_text(text: bytes, line: str) -> None:
    assert parse_command_line(text) == line


def test_missing_proc_is_an_error_that_names_it() -> None:
    with pytest.raises(KernelError, match="/nonexistent: No such file"):
        ProcFs("/nonexistent").pids()


@pytest.mark.parametrize(
    ("meminfo", "used"),
    [
        (b"MemTotal: 5 kB\nSwapTotal:      10 kB\nSwapFree:       9 kB\n", True),
        (b"MemTotal: 5 kB\nSwapTotal:      10 kB\nSwapFree:       10 kB\n", False),
        (b"MemTotal: 5 kB\n", True),
        (None, True),
    ],
    ids=["some", "none", "unknown", "no file"],
)
def test_whether_swap_is_used(tmp_path: Path, meminfo: bytes | None, used: bool) -> None:
    if meminfo is not None:
        (tmp_path / "meminfo").write_bytes(meminfo)
    assert ProcFs(str(tmp_path)).swap_is_used() is used


def test_recorded_tree_has_no_clocks_and_its_open_files_are_listed(tmp_path: Path) -> None:
    (tmp_path / "5/fd").mkdir(parents=True)
    for number in "012":
        (tmp_path / "5/fd" / number).touch()
    (tmp_path / "5/exe").symlink_to("/usr/bin/web (deleted)")
    proc = ProcFs(str(tmp_path))
    assert not proc.is_of_our_pids()
    assert proc.open_files(5) == 3
    assert proc.executable(5) == "/usr/bin/web"
    assert proc.executable(6) == ""
    assert proc.pids() == [5]
    assert not proc.has_io()


def _tree_of(tmp_path: Path, status: str, own: str = str(os.getpid())) -> ProcFs:
    (tmp_path / own).mkdir()
    (tmp_path / own / "status").write_text(status)
    (tmp_path / "self").symlink_to(own)
    return ProcFs(str(tmp_path))


@pytest.mark.parametrize(
    ("status", "ours"),
    [("Pid:\t5\nNSpid:\t5\nx\n", True), ("Pid:\t5\nNSpid:\t5\t1\nx\n", False), ("Pid:\t5\nx\n", True)],
    ids=["same namespace", "seen from outside", "before Linux 4.1"],
)
def test_pids_of_another_namespace_are_told_apart(tmp_path: Path, status: str, ours: bool) -> None:
    assert _tree_of(tmp_path, status).is_of_our_pids() is ours


def test_pids_are_not_ours_where_we_have_another_number(tmp_path: Path) -> None:
    assert not _tree_of(tmp_path, "Pid:\t5\nNSpid:\t5\nx\n", "3999999").is_of_our_pids()


@pytest.mark.needs("linux")
def test_own_process_is_read_right() -> None:
    proc, pid = ProcFs("/proc"), os.getpid()
    assert proc.is_of_our_pids()
    stat = parse_stat(proc.read(pid, "stat"))
    assert (stat.parent, stat.kernel, stat.state) == (os.getppid(), False, b"R")
    assert proc.user(pid) == os.geteuid()
    assert proc.executable(pid) == str(Path("/proc/self/exe").readlink())
    with pytest.raises(FileNotFoundError):
        proc.read(2**22 + 1, "stat")


@pytest.mark.needs("linux")
def test_zombie_has_a_stat_and_no_executable() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        proc = ProcFs("/proc")
        assert parse_stat(proc.read(child.pid, "stat")).state == b"Z"
        assert proc.executable(child.pid) == ""
