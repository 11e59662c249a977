"""The entropy pool: the kernel's own digits."""

import pytest

from exporter.collectors.entropy import Entropy, parse_bits
from exporter.kernel import KernelError
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles

AVAILABLE, SIZE = "proc/sys/kernel/random/entropy_avail", "proc/sys/kernel/random/poolsize"


def test_both_numbers_are_gauges_in_bits() -> None:
    files = TreeFiles({AVAILABLE: b"3412\n", SIZE: b"4096\n"})
    assert rows_of(Entropy(files).collect()) == {
        ("node_entropy_available_bits", 3412.0),
        ("node_entropy_pool_size_bits", 4096.0),
    }


@pytest.mark.parametrize("text", [b"", b"\n", b"256", b"256\n\n", b"-1\n", b"256 \n", b"0x10\n"], ids=repr)
def test_text_that_is_no_number_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/sys/kernel/random/poolsize: expected a number"):
        parse_bits("poolsize", text)


@pytest.mark.parametrize("missing", [AVAILABLE, SIZE])
def test_one_missing_file_is_an_error(missing: str) -> None:
    files = TreeFiles({AVAILABLE: b"1\n", SIZE: b"2\n"})
    del files.contents[missing]
    with pytest.raises(KernelError, match=missing):
        Entropy(files).collect()
