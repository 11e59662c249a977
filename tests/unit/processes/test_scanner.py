"""The thread: what it found last, how long that counts, and what a scan that fails costs."""

import threading
import time
from collections.abc import Iterator

import pytest

from exporter.kernel import KernelError
from exporter.processes import Scan, Scanner
from exporter.settings.exporter import Paths
from exporter.settings.processes import Match, ProcessGroupsSettings
from exporter.settings.values import Duration, Regex
from tests.support.client import until

WEB = Match(name=Regex("web"))


class FakeCensus:
    """Finds one process more at each scan; fails when told to; can be held up."""

    def __init__(self, *_: object) -> None:
        self.scans = 0
        self.resets = 0
        self.closed = False
        self.fail = False
        self.watched: list[Match] = []
        self.go = threading.Event()
        self.go.set()

    def watch(self, matches: Iterator[Match]) -> None:
        self.watched = list(matches)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True

    def scan(self) -> Scan:
        self.go.wait(20)
        self.scans += 1
        if self.fail:
            raise KernelError("/proc: gone")
        counts = dict.fromkeys(self.watched, 3)
        return Scan(time.monotonic(), 1.0, 1.0, 0.1, self.scans, complete=True, counts=counts)


class Rig:
    def __init__(self, matches: tuple[Match, ...] = ()) -> None:
        self.census = FakeCensus()
        self.late = 0.0
        settings = ProcessGroupsSettings(interval=Duration(2))
        self.scanner = Scanner(
            settings,
            Paths(),
            matches,
            clock=lambda: time.monotonic() + self.late,
            make=lambda *_: self.census,  # type: ignore[arg-type, return-value]
        )
        self.scanner.FIRST_SECONDS = 0.01  # type: ignore[misc]
        self.scanner._interval = 0.02

    def scans(self, count: int) -> None:
        wanted = self.census.scans + count
        until(lambda: self.census.scans >= wanted, f"{count} scans")


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.census.go.set()
    made.scanner.stop()


def test_nothing_before_the_first_scan_then_the_newest(rig: Rig) -> None:
    assert rig.scanner.last is None
    assert rig.scanner.count(WEB) is None
    rig.scanner.start()
    rig.scans(3)
    assert rig.scanner.last.processes >= 2


def test_a_scan_that_hangs_is_not_shown_for_ever_and_comes_back(rig: Rig) -> None:
    rig.scanner.start()
    rig.scans(1)
    rig.census.go.clear()
    rig.late = 1 + 3 * 0.02 + 5
    assert rig.scanner.last is None
    assert rig.scanner.count(WEB) is None
    rig.late = 0.0
    rig.census.go.set()
    rig.scans(2)
    assert rig.scanner.last is not None


def test_a_scan_that_fails_is_told_once_and_starts_anew(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.census.fail = True
    rig.scanner.start()
    rig.scans(3)
    assert rig.scanner.last is None
    assert rig.census.resets >= 2
    rig.census.fail = False
    rig.scans(2)
    assert rig.scanner.last is not None
    assert [record.message for record in caplog.records] == ["scan of processes failed"]


def test_matches_are_counted_those_named_before_and_those_asked_for_later(rig: Rig) -> None:
    late = Match(user=Regex("root"))
    rig = Rig((WEB,))
    rig.scanner.start()
    rig.scans(1)
    until(lambda: rig.scanner.count(WEB) == 3, "the match that was named")
    assert rig.scanner.count(late) is None
    until(lambda: rig.scanner.count(late) == 3, "the match that was asked for")
    rig.scanner.stop()


def test_stop_ends_the_thread_and_twice_does_no_harm(rig: Rig) -> None:
    rig.scanner.start()
    rig.scans(1)
    rig.scanner.stop()
    until(lambda: rig.census.closed, "the end of the thread")
    rig.scanner.stop()


def test_stop_before_start_does_no_harm(rig: Rig) -> None:
    rig.scanner.stop()
