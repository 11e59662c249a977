"""What is told of a part's log when it ends."""

from pathlib import Path

import pytest

from stack.children import Child, last_lines
from stack.failures import StackError
from stack.parts import Part


def test_the_end_of_a_log_is_told_with_the_errors_that_stand_before_it(tmp_path: Path) -> None:
    log = tmp_path / "prometheus.log"
    stops = [f"level=info msg=stop{n}" for n in range(20)]
    log.write_text("\n".join(["level=info msg=start", 'level=error err="no such rule"', *stops]))
    told = [line.strip() for line in last_lines(log).splitlines()]
    assert told == ['level=error err="no such rule"', *stops[-10:]]


def test_a_part_that_printed_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert last_lines(tmp_path / "log") == "    (it printed nothing)"


def test_a_huge_log_is_read_at_its_end_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xff" * 50_000_000 + b"\nlast")
    assert last_lines(log).endswith("    last")
    assert len(last_lines(log)) < 100_000


def test_a_program_that_is_not_there_is_an_error_that_names_the_part(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"^Prometheus cannot be started: .*no-such-program"):
        Child(Part("prometheus", "Prometheus", "graphs", ("/no-such-program",)), tmp_path / "log")


def test_a_part_that_ended_is_told_with_how_and_where_its_log_is(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    child = Child(Part("x", "X", "x", ("sh", "-c", "echo the reason; exit 3")), log)
    child.stop()  # waits; one that has ended gets no signal
    assert child.story().startswith(("X ended with exit code 3", "X ended by SIGTERM"))
    assert str(log) in child.story()
    assert not child.running()
