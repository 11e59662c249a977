"""A FUSE mount that stops answering, for real: kernel, mount and all, in namespaces of the exporter's own.

Two ways to hang, since the kernel tells them apart: a daemon that does not read its requests (its waiters can be
killed), and one that has read them and says nothing (its waiters cannot, by nobody, until it answers or goes).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import namespace
from tests.support.client import connect, rows, scrape, until
from tests.support.exporter import COMMAND, Child
from tests.support.fuse import AVAILABLE_BYTES, SIZE_BYTES, How, StuckFileSystem
from tests.support.scrapers import scrape_with

pytestmark = [pytest.mark.needs("fuse"), pytest.mark.slow]

HANGS: tuple[How, ...] = ("reads nothing", "reads without answering")
MB = 1024 * 1024


class Namespaced(Child):
    """An exporter that is process 1 of its own namespaces; `pid` is its number out here."""

    def __init__(self, file_system: StuckFileSystem, directory: Path) -> None:
        super().__init__(
            [sys.executable, namespace.__file__, str(file_system.fd), str(directory), *COMMAND],
            keep_open=(file_system.fd,),
        )
        self.pid = next(int(line.split()[1]) for line in self.lines if line.startswith("process "))

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


class Stuck:
    """The mount and the exporter that has it."""

    def __init__(self, file_system: StuckFileSystem, child: Child, directory: Path) -> None:
        self.file_system = file_system
        self.child = child
        self._labels = f'{{device="hwtest",fstype="fuse.hwtest",mountpoint="{directory}"}}'

    def rows(self, page: str) -> dict[str, float]:
        """Return the rows of that mount, by family."""
        mine = ((key, value) for key, value in rows(page).items() if key.endswith(self._labels))
        return {key.removesuffix(self._labels): value for key, value in mine}

    def scrape(self) -> tuple[dict[str, float], str, float]:
        """Scrape; return the mount's rows, the page and the seconds it took."""
        start = time.monotonic()
        page = scrape(self.child.port, timeout=20)
        return self.rows(page), page, time.monotonic() - start

    def hang(self, how: How) -> None:
        """Make it hang, and wait until a scrape has met that."""
        self.file_system.behave(how)
        found, page, seconds = self.scrape()
        assert found["node_filesystem_device_error"] == 1
        assert "node_filesystem_size_bytes" not in found
        assert 1.9 < seconds < 2.9, "one mount costs its time-out once"
        assert_complete(page)


def assert_complete(page: str) -> None:
    for line in ("node_load1 ", "node_cpu_seconds_total{", 'node_filesystem_size_bytes{device="', "host_memory_usage"):
        assert line in page
    assert 'node_scrape_collector_success{collector="filesystem"} 1' in page


@contextmanager
def stuck_mount(directory: Path) -> Iterator[Stuck]:
    directory.mkdir()
    file_system = StuckFileSystem()
    file_system.start()
    try:
        child = Namespaced(file_system, directory)
        try:
            yield Stuck(file_system, child, directory)
        finally:
            if child.process.poll() is None:
                os.kill(child.pid, signal.SIGKILL)
            file_system.close()  # aborts the connection: whoever waits comes free
            child.process.wait(10)
            child.end()
    finally:
        if file_system.is_open:
            file_system.close()


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Stuck]:
    with stuck_mount(tmp_path / "mount") as made:
        until(lambda: "host_memory_usage_ratio" in made.scrape()[1], "the first sample")
        found = made.scrape()[0]
        assert found["node_filesystem_size_bytes"] == SIZE_BYTES
        assert found["node_filesystem_avail_bytes"] == AVAILABLE_BYTES
        assert found["node_filesystem_device_error"] == 0
        yield made


@pytest.mark.parametrize("how", HANGS)
def test_it_costs_its_own_rows_and_comes_back_with_its_daemon(stuck: Stuck, how: How) -> None:
    stuck.hang(how)
    for _ in range(20):
        found, page, seconds = stuck.scrape()
        assert found["node_filesystem_device_error"] == 1
        assert "node_filesystem_size_bytes" not in found
        assert seconds < 0.5
        assert_complete(page)
    stuck.file_system.behave("answers")
    until(lambda: stuck.scrape()[0].get("node_filesystem_size_bytes") == SIZE_BYTES, "its rows are back")
    assert stuck.scrape()[0]["node_filesystem_device_error"] == 0
    until(lambda: "host_filesystem_usage_ratio" in stuck.scrape()[0], "the sampler has it back too", seconds=20)


@pytest.mark.measured
@pytest.mark.parametrize("how", HANGS)
def test_64_scrapers_beside_it_cost_no_threads_memory_or_files(stuck: Stuck, how: How) -> None:
    child = stuck.child
    good = b'node_scrape_collector_success{collector="filesystem"} 1\n'
    scrape_with(64, child.port, 1, good)  # what 64 connections cost stays with the process
    threads, resident, files = child.threads, child.resident, child.open_files
    stuck.file_system.behave(how)
    seen = scrape_with(64, child.port, 7, good, b"node_load1 ")
    assert not seen.errors, seen.errors[:3]
    assert seen.slowest < 4.9, "whoever came while the first one waited has his page soon after"
    assert child.threads <= threads + 3
    assert child.resident - resident < 6 * MB
    until(lambda: child.open_files <= files + 1, "the scrapers' connections are gone")
    assert stuck.file_system.statfs_seen < 10_000


def test_it_ends_within_two_seconds_while_the_daemon_reads_nothing(stuck: Stuck) -> None:
    stuck.hang("reads nothing")
    stuck.child.signal(signal.SIGTERM)
    assert stuck.child.wait(2) == 0


def test_it_ends_as_far_as_the_kernel_lets_it_when_the_daemon_has_read(stuck: Stuck) -> None:
    """The kernel waits for the answer to what a FUSE daemon has read, SIGKILL or not (fs/fuse/dev.c).

    Within 2 s the exporter is done and its port is free for the next one; its one thread in the kernel, and with it
    the process' number, stays until the daemon answers, ends, or its connection is aborted.
    """
    child = stuck.child
    stuck.hang("reads without answering")
    start = time.monotonic()
    child.signal(signal.SIGTERM)
    until(lambda: child.events("exporter ends"), "it says so", seconds=2)
    until(lambda: not _listens(child.port), "the port is free", seconds=2)
    until(lambda: _state(child.pid) in {"Z", ""}, "all of it but what waits in the kernel is gone", seconds=2)
    assert time.monotonic() - start < 2
    if child.process.poll() is None:  # so it is with every kernel known; a kinder one passes as well
        child.signal(signal.SIGKILL)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
    stuck.file_system.behave("answers")
    assert child.wait(2) == 0, "its own exit code, though late"


def _listens(port: int) -> bool:
    try:
        connect(port, timeout=1).close()
    except OSError:
        return False
    return True


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
