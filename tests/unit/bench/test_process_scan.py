"""The row of process scans: what this machine cannot measure it says, and what breaks names its reason."""

import subprocess
from pathlib import Path

import pytest

from bench import process_scan
from bench.crowd import NAMES, settings_of
from bench.failures import BenchError
from bench.plan import QUICK
from bench.process_scan import CASES, WAYS, measure_process_scans
from bench.rows import make_rows
from bench.summary import Record


def test_machine_that_lacks_something_has_the_reason_in_every_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process_scan, "missing", lambda: "needs root")
    record, steps = Record(), []
    measure_process_scans(tmp_path, QUICK, record, steps.append)
    found = [row for row in make_rows(record) if row.key == "process_scan"]
    assert {row.verdict for row in found} == {"not measured: needs root"}
    assert len(steps) == len(CASES)


def test_blocks_of_each_way_go_into_the_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process_scan, "missing", lambda: "")
    monkeypatch.setattr(process_scan, "_watch", lambda *_: {way: [1e-5, 2e-5] for way in WAYS})
    record = Record()
    measure_process_scans(tmp_path, QUICK, record, lambda _: None)
    found = [row for row in make_rows(record) if row.key == "process_scan"]
    assert {(row.ours.low, row.ours.high, row.ratio.value) for row in found} == {(10, 20, 1)}


def test_crowd_that_fails_ends_the_run_with_its_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="Traceback\nno room\n")

    monkeypatch.setattr(process_scan, "missing", lambda: "")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(BenchError, match="no room"):
        measure_process_scans(tmp_path, QUICK, Record(), lambda _: None)


def test_both_sides_have_a_group_for_every_name() -> None:
    assert len(settings_of("groups").groups) == NAMES
    assert settings_of("top").groups == ()
