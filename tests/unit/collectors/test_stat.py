"""Counters of the whole kernel."""

import pytest

from exporter.collectors.stat import parse_stat
from exporter.kernel import KernelError

GOOD = (
    b"cpu  1 0 0 0 0 0 0 0 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\n"
    b"intr 42 7 0 35\nctxt 18446744073709551615\nbtime 1700000000\nprocesses 9\nprocs_running 2\nprocs_blocked 0\n"
)


@pytest.mark.parametrize("softirq", [b"", b"softirq 5 1 2 2\n"], ids=["before 2.6.31", "softirq"])
def test_six_values_are_the_kernels_own_digits(softirq: bytes) -> None:
    assert parse_stat(GOOD + softirq) == (b"42", b"18446744073709551615", b"1700000000", b"9", b"2", b"0")


@pytest.mark.parametrize("interrupts", [0, 1, 20_000])
def test_columns_of_single_interrupts_do_not_matter(interrupts: int) -> None:
    assert parse_stat(GOOD.replace(b"42 7 0 35", b"42" + b" 3" * interrupts))[0] == b"42"


@pytest.mark.parametrize("key", [b"intr", b"ctxt", b"btime", b"processes", b"procs_running", b"procs_blocked"])
def test_value_that_is_missing_is_an_error(key: bytes) -> None:
    lines = [line for line in GOOD.splitlines(keepends=True) if not line.startswith(key + b" ")]
    with pytest.raises(KernelError, match=r"^proc/stat: expected intr"):
        parse_stat(b"".join(lines))


@pytest.mark.parametrize("value", [b"-1", b"x", b"", b"1.5", b"1e3"], ids=repr)
def test_value_that_is_no_plain_number_is_an_error(value: bytes) -> None:
    with pytest.raises(KernelError):
        parse_stat(GOOD.replace(b"processes 9", b"processes " + value))
