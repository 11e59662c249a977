import json

import pytest

from bench import peers, table
from bench.machine import Machine
from bench.plan import QUICK
from bench.rows import MEASURES, Row, make_rows
from bench.run import Outcome
from bench.summary import Record


def full_record(ours: float, theirs: float) -> Record:
    """Return a record that has two blocks of everything."""
    record = Record()
    servers = {pair.ours for measure in MEASURES for pair in measure.pairs}
    others = {pair.peer for measure in MEASURES for pair in measure.pairs if pair.peer} - servers
    for key in {measure.key for measure in MEASURES}:
        for server in servers:
            record.add(server, key, ours)
            record.add(server, key, 2 * ours)
        for server in others:
            record.add(server, key, theirs)
            record.add(server, key, 2 * theirs)
    return record


def row_of(rows: list[Row], key: str, pair: str) -> Row:
    return next(row for row in rows if row.key == key and row.pair == pair)


def outcome(record: Record) -> Outcome:
    machine = Machine("2026-01-02 03:04 UTC", "abc1234", "CPU | model", 2, "6.1", "3.11.7", "node_exporter 1.5.0")
    return Outcome(machine, QUICK, record, ["a note"])


def test_every_measure_is_in_the_units_that_are_shown() -> None:
    row = row_of(make_rows(full_record(0.0001, 0.001)), "hot_cpu", "T")
    assert row.unit == "us"
    assert (row.ours.low, row.ours.high) == pytest.approx((100, 200))
    assert row.ratio.value == pytest.approx(0.1)
    assert row.verdict == "met, aim too"


def test_a_goal_on_our_own_figure_does_not_ask_the_peer() -> None:
    row = row_of(make_rows(full_record(0.00005, 0.0)), "idle_cpu", "D, no timers")
    assert row.ratio is None
    assert not row.missed
    assert row.measured == pytest.approx(0.075)


def test_errors_of_all_blocks_are_summed_up() -> None:
    row = row_of(make_rows(full_record(1.0, 0.0)), "load_errors", "T")
    assert row.ours.value == 3
    assert row.verdict == "missed by 3"


def test_a_row_that_was_not_measured_meets_no_goal() -> None:
    rows = make_rows(Record())
    assert all(row.missed for row in rows if row.goal)
    assert row_of(rows, "hot_cpu", "T").verdict == "not measured"


def test_what_this_machine_cannot_measure_says_why_and_is_not_missed() -> None:
    record = Record()
    record.excuse(peers.OURS_MORE, "needs root")
    row = row_of(make_rows(record), "more_cpu", "T10")
    assert row.verdict == "not measured: needs root"
    assert not row.missed
    text = table.markdown(outcome(record), make_rows(record))
    goals = sum(row.goal is not None for row in make_rows(record))
    assert f"- goals: 0 of {goals - 1} met, 1 not measured" in text


def test_a_lock_is_compared_with_ours_without() -> None:
    record = Record()
    record.add(peers.OURS_D, "hot_cpu", 0.0005)
    record.add(peers.OURS_D_LOCKED, "hot_cpu", 0.0006)
    row = row_of(make_rows(record), "hot_cpu", "D, locked / open")
    assert row.ratio.value == pytest.approx(1.2)
    assert row.verdict == "met"


def test_every_goal_says_whose_it_is() -> None:
    rows = [row for row in make_rows(Record()) if row.goal]
    assert all(row.goal.subject for row in rows)
    assert {"skeleton", "whole exporter", "locks", "history", "processes"} <= {row.goal.subject for row in rows}


def test_every_goal_stands_in_a_row() -> None:
    for measure in MEASURES:
        assert set(measure.goals) <= {pair.name for pair in measure.pairs}, measure.key


def test_markdown_has_every_row_and_its_pipes_escaped() -> None:
    rows = make_rows(full_record(1.0, 2.0))
    text = table.markdown(outcome(full_record(1.0, 2.0)), rows)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == len(rows) + 2
    assert {line.count("|") for line in lines} == {len(table.COLUMNS) + 1}
    assert "- commit: abc1234" in text
    assert "- a note" in text


def test_json_holds_every_block_in_base_units() -> None:
    record = full_record(0.001, 0.01)
    plain = json.loads(json.dumps(table.plain(outcome(record), make_rows(record))))
    assert plain["blocks"][peers.OURS_T]["hot_cpu"] == [0.001, 0.002]
    assert plain["plan"]["name"] == "quick"
    assert {"verdict", "missed", "ratio"} <= set(plain["rows"][0])
