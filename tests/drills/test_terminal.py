"""`hostwatch drill run` as somebody sees it who sits at a terminal: it asks, draws bars, and ends on Ctrl-C."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.drills import ledger, processes
from tests.support.fake_pipeline import FakePipeline
from tests.support.terminal import HIDE, SHOW, Terminal

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

QUESTION = "Run 1 drill? [y/N]"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[FakePipeline]:
    with FakePipeline(tmp_path / "targets") as running:
        yield running


@pytest.fixture
def terminal(pipeline: FakePipeline, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal at which somebody is asked whether a drill shall run."""
    with Terminal("drill", *pipeline.options(tmp_path / "state"), "run", "service-stopped") as running:
        running.until(lambda: QUESTION in running.written, "it asks")
        yield running


def left(state: Path) -> set[str]:
    """Return what a folder of ledgers holds beside the lock, which stays."""
    return {path.name for path in state.iterdir()} - {"lock"}


def test_no_is_no_consent_and_nothing_is_begun(terminal: Terminal, tmp_path: Path) -> None:
    plan = terminal.written.partition(QUESTION)[0]
    assert "ServiceDown" in plan, "what somebody agrees to is said before"
    terminal.type(b"n\n")
    assert terminal.end() == 3
    assert "refused: not wanted" in terminal.written
    assert left(tmp_path / "state") == set()
    assert not list((tmp_path / "targets").rglob("*.yml"))


def test_yes_shows_a_bar_for_each_hop_and_ctrl_c_ends_it_in_order(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type(b"y\n")
    terminal.until(lambda: "█" in terminal.written, "a hop has used some of its time")
    for part in ("drill", "budget", "service-stopped", "broken", "ServiceDown", "crossed", "firing", "·"):
        assert part in terminal.written.partition(QUESTION)[2], part
    (path,) = ledger.ledgers(tmp_path / "state")
    _, entries = ledger.read_ledger(path)
    marks = [entry.mark for entry in entries if isinstance(entry, ledger.Processes)]
    assert any(processes.marked(mark) for mark in marks), "there is something to undo"
    terminal.type(b"\x03")
    assert terminal.end() == 3
    assert "service-stopped: stopped by SIGINT" in terminal.written
    assert "Traceback" not in terminal.written
    assert terminal.written.rindex(SHOW) > terminal.written.rindex(HIDE)
    assert [pid for mark in marks for pid in processes.marked(mark)] == []
    assert left(tmp_path / "state") == {"results"}
    assert not list((tmp_path / "targets").rglob("*.yml"))
