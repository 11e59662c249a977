"""A run of drills: what it bears, what ends it, and that all that was reached is told."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.drills import drill as drills
from exporter.drills import engine, ledger, silence
from exporter.drills.drill import Drill
from exporter.drills.engine import Run
from exporter.drills.fault import Fault
from exporter.drills.scene import Scene, SceneError
from exporter.drills.site import SiteError, View
from exporter.drills.timeline import Result, exit_code
from tests.support.sites import site_of

Tick = Callable[["Scripted"], None]
NOTHING = View(0.0, (), ())


class Planned(Fault):
    """A fault of a test; `tick` is called each time."""

    alerts = ("HostDown",)

    def __init__(self, name: str, tick: Tick | None = None) -> None:
        self.name = name  # type: ignore[misc]
        self.tick = tick

    def stage(self, scene: Scene) -> None:
        """Put up nothing."""

    def inject(self, scene: Scene, strength: float) -> None:
        """Break nothing."""

    def crossed(self, scene: Scene) -> str:
        return "1"


class Scripted:
    """In place of a drill: done after its first tick, unless its fault says otherwise."""

    def __init__(self, fault: Planned, site: object, book: ledger.Ledger, strength: float) -> None:
        self.fault, self.book, self.phase, self.ticks = fault, book, "broken", 0
        self.result = Result(fault.name, "1", time.time(), "preview", strength, verdict="proven")

    def stage(self) -> None:
        """Put up nothing."""

    def tick(self, view: View) -> None:
        self.ticks += 1
        if self.fault.tick is not None:
            self.fault.tick(self)
        else:
            self.end()

    def cut(self) -> None:
        """Started nothing."""

    def end(self, verdict: str = "", reason: str = "") -> None:
        if self.phase != "done":
            self.phase = "done"
            self.result.verdict = verdict or self.result.verdict  # type: ignore[assignment]
            self.result.reason = reason


class NoLifeline:
    """In place of the process that undoes; counts what is closed."""

    closed = 0

    def __init__(self, path: Path, seconds: float) -> None:
        self.seconds = seconds

    def is_alive(self) -> bool:
        return True

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    NoLifeline.closed = 0
    monkeypatch.setattr(engine, "Drill", Scripted)
    monkeypatch.setattr(engine, "Lifeline", NoLifeline)
    monkeypatch.setattr(engine.sites, "see", lambda _: NOTHING)
    monkeypatch.setattr(engine.preflight, "available", lambda: (8 << 30, 16 << 30))


def run_of(tmp_path: Path, *faults: Fault, **how: Any) -> tuple[list[Result], Run]:
    run = Run(site_of(tmp_path), lambda *_: None, NOTHING, **how)
    run._pause = 0.001
    return run.run(faults), run


def shown(results: list[Result]) -> list[tuple[str, str]]:
    return [(one.drill, one.verdict) for one in results]


def for_ever(drill: Scripted) -> None:
    """Never end."""


def fails(drill: Scripted) -> None:
    drill.result.verdict = "undo failed"
    drill.end()


def unanswered(times: int) -> Callable[[object], View]:
    """Return what fails so often, and then answers."""
    left = [times]

    def see(_: object) -> View:
        left[0] -= 1
        if left[0] >= 0:
            raise SiteError("Prometheus: no whole answer in time")
        return NOTHING

    return see


def test_failed_poll_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.sites, "see", unanswered(3))
    results, run = run_of(tmp_path, Planned("a"), Planned("b"))
    assert shown(results) == [("a", "proven"), ("b", "proven")]
    assert run.left == []


def test_pipeline_that_stays_silent_ends_it_and_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silenced(drill: Scripted) -> None:
        monkeypatch.setattr(engine.sites, "see", unanswered(10**9))

    monkeypatch.setattr(silence, "SECONDS", 0.02)
    results, _ = run_of(tmp_path, Planned("a"), Planned("b", fails), Planned("c", silenced), Planned("d"))
    assert shown(results) == [("a", "proven"), ("b", "undo failed"), ("c", "refused"), ("d", "refused")]
    assert "no whole answer in time" in results[2].reason
    assert results[3].reason.startswith("not run: ")
    assert exit_code(results) == 4


def test_silence_is_counted_in_a_row() -> None:
    now = [0.0]
    one = silence.Silence(lambda: now[0])
    one.bear(SiteError("a"))
    now[0] = 29.9
    one.bear(SiteError("a"))
    one.end()
    now[0] = 40.0
    one.bear(SiteError("a"))
    now[0] = 70.0
    with pytest.raises(SiteError, match="a; for 30 s"):
        one.bear(SiteError("a"))


def test_memory_is_watched_while_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.sites, "see", unanswered(10**9))
    monkeypatch.setattr(engine.preflight, "available", lambda: (1 << 20, 16 << 30))
    results, _ = run_of(tmp_path, Planned("a"))
    assert "memory" in results[0].reason


def test_drill_that_cannot_write_is_refused_and_the_next_one_runs(tmp_path: Path) -> None:
    def full(drill: Scripted) -> None:
        raise OSError(28, "No space left on device")

    results, _ = run_of(tmp_path, Planned("a", full), Planned("b"))
    assert shown(results) == [("a", "refused"), ("b", "proven")]
    assert "No space left" in results[0].reason


def test_result_that_cannot_be_kept_is_told_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine.results, "keep", full)
    results, _ = run_of(tmp_path, Planned("a"), Planned("b"))
    assert shown(results) == [("a", "proven"), ("b", "proven")]
    assert "not kept: [Errno 28]" in results[0].reason
    assert NoLifeline.closed == 1


def test_ledger_that_cannot_be_begun_leaves_no_lifeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine, "Ledger", full)
    with pytest.raises(SceneError, match="No space left"):
        run_of(tmp_path, Planned("a"))
    assert NoLifeline.closed == 1


def test_time_limit_is_named_and_what_waited_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_SECONDS", 0.05)
    results, _ = run_of(tmp_path, Planned("a", for_ever), Planned("b"))
    assert shown(results) == [("a", "refused"), ("b", "refused")]
    assert results[0].reason == "the time limit of 0.1 s for all of the run is over"
    assert results[1].reason == f"not run: {results[0].reason}"
    assert [path.name for path in (tmp_path / "results").iterdir()] != [], "what was begun is kept"
    assert len(list((tmp_path / "results").iterdir())) == 1, "what was not is none"


def test_ledger_that_goes_means_halt(tmp_path: Path) -> None:
    def halted(drill: Scripted) -> None:
        drill.book.path.unlink()
        drill.book.add(ledger.File(str(tmp_path / "x")))

    results, _ = run_of(tmp_path, Planned("a", halted), Planned("b"))
    assert shown(results) == [("a", "refused"), ("b", "refused")]
    assert results[0].reason == "halted: the faults are undone already"
    assert not list(tmp_path.glob("*.ledger"))


def test_what_nobody_could_undo_is_told(tmp_path: Path) -> None:
    def leave(drill: Scripted) -> None:
        drill.book.add(ledger.Container(str(tmp_path / "no.sock"), "c"))
        drill.end()

    results, run = run_of(tmp_path, Planned("a", leave))
    assert shown(results) == [("a", "proven")]
    assert "no.sock" in run.left[0]


@pytest.fixture
def real(tmp_path: Path) -> Drill:
    return Drill(Planned("a"), site_of(tmp_path), ledger.Ledger(tmp_path / "a.ledger", ledger.own_head("a")))


def test_query_that_fails_once_is_asked_again(real: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> bool:
        raise SiteError("no whole answer in time")

    real.stage()
    monkeypatch.setattr(drills.sites, "holds", silent)
    real.tick(View(time.time(), (), ()))
    assert real.phase == "waiting to be watched"
    monkeypatch.setattr(drills.sites, "holds", lambda *_: True)
    real.tick(View(time.time(), (), ()))
    assert real.phase == "broken"
    monkeypatch.setattr(drills.sites, "holds", silent)
    real.tick(View(time.time(), (), ()))
    monkeypatch.setattr(silence, "SECONDS", 0.0)
    with pytest.raises(SiteError, match="no whole answer"):
        real.tick(View(time.time(), (), ()))
    real.end()


def test_drill_without_a_folder_is_nothing_to_clear(real: Drill) -> None:
    real.end("refused", "No space left on device")
    assert (real.result.verdict, real.result.reason) == ("refused", "No space left on device")
