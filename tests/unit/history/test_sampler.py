"""The thread that fills the history."""

import logging
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest

from exporter.history import History, Key, Reading, Sample, Sampler
from exporter.portable import read_usage

NOTHING: Mapping[Key, float] = MappingProxyType({})


class Ring(History):
    """Tells a waiting test of each sample."""

    def __init__(self, wanted: int) -> None:
        super().__init__(5)
        self.missing = wanted
        self.enough = threading.Event()

    def add(self, sample: Sample, others: Mapping[Key, float] = NOTHING) -> None:
        super().add(sample, others)
        self.missing -= 1
        if self.missing <= 0:
            self.enough.set()


def test_sampler_fills_the_history_from_the_running_system_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampler, "FIRST_SECONDS", 0.001)
    ring = Ring(3)
    sampler = Sampler(ring, 0.001, read_usage)
    sampler.start()
    assert ring.enough.wait(20)
    sampler.stop()
    sampler._thread.join(20)
    assert not sampler._thread.is_alive()
    newest = ring._samples[-1]
    assert newest.cpu
    assert all(0 <= core.busy <= core.total for core in newest.cpu)
    assert newest.memory is not None
    assert 0 < newest.memory < 1


def test_failing_sample_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Sampler, "FIRST_SECONDS", 0.001)
    ring, tries = Ring(1), iter(range(100))

    def read() -> Reading:
        if next(tries) < 3:
            raise OSError("sick")
        return Reading((), None, None, ())

    sampler = Sampler(ring, 0.001, read)
    with caplog.at_level(logging.INFO):
        sampler.start()
        assert ring.enough.wait(20)
        sampler.stop()
        sampler._thread.join(20)
    assert [record.message for record in caplog.records] == ["sample failed"]


EMPTY = Reading((), None, None, ())


def run(
    monkeypatch: pytest.MonkeyPatch, ring: Ring, read: Callable[[], Reading], *sources: Callable[[], dict[Key, float]]
) -> None:
    """Sample until the ring has enough."""
    monkeypatch.setattr(Sampler, "FIRST_SECONDS", 0.001)
    sampler = Sampler(ring, 0.001, read, sources)
    sampler.start()
    assert ring.enough.wait(20)
    sampler.stop()
    sampler._thread.join(20)


def test_sources_are_kept_with_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(2)
    run(monkeypatch, ring, lambda: EMPTY, lambda: {("latency", "a"): 0.25}, lambda: {("service", "tcp", "b"): 1.0})
    assert set(ring.past.columns()) == {("latency", "a"), ("service", "tcp", "b")}


def test_sick_source_costs_its_own_values_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def sick() -> dict[Key, float]:
        raise RuntimeError("sick")

    ring = Ring(5)
    with caplog.at_level(logging.INFO):
        run(monkeypatch, ring, lambda: EMPTY, sick, lambda: {("latency", "a"): 0.25})
    assert ring.past.columns() == (("latency", "a"),)
    assert [record.message for record in caplog.records] == ["source of the history failed"]


def test_what_a_stopped_sampler_still_reads_is_not_kept() -> None:
    """Its file system may come back long after settings were read again."""
    ring, reading, go_on = Ring(1), threading.Event(), threading.Event()

    def read() -> Reading:
        reading.set()
        go_on.wait(20)
        return EMPTY

    sampler = Sampler(ring, 5, read)
    sampler.start()
    assert reading.wait(20)
    sampler.stop()
    go_on.set()
    sampler._thread.join(20)
    assert not ring._samples
