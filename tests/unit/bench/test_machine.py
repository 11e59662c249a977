from pathlib import Path

import pytest

from bench.machine import parse_busy_seconds, parse_cpu_model, read_commit


@pytest.mark.parametrize(
    ("text", "model"),
    [("processor\t: 0\nmodel name\t: AMD EPYC 7B13 \n", "AMD EPYC 7B13"), ("processor\t: 0\n", "unknown")],
    ids=["x86", "arm"],
)
def test_the_model_is_read_where_there_is_one(text: str, model: str) -> None:
    assert parse_cpu_model(text) == model


def test_busy_time_counts_steal_but_neither_idle_nor_guest() -> None:
    assert parse_busy_seconds("cpu  100 20 30 9999 9999 1 2 3 4000 5000\ncpu0 1\n") == pytest.approx(1.56)


def test_a_folder_without_history_has_no_commit(tmp_path: Path) -> None:
    assert read_commit(tmp_path) == "unknown"
