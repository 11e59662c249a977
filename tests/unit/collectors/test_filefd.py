"""Open files of the machine: the kernel's own digits."""

import pytest

from exporter.collectors.filefd import FileHandles, parse_file_nr
from exporter.kernel import KernelError
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param(b"1323\t0\t2466170\n", (b"1323", b"2466170"), id="one machine"),
        pytest.param(b"1\t7\t9223372036854775807\n", (b"1", b"9223372036854775807"), id="no limit"),
    ],
)
def test_first_and_third_number_are_taken(text: bytes, values: tuple[bytes, ...]) -> None:
    assert parse_file_nr(text) == values


@pytest.mark.parametrize("text", [b"", b"1\t0\t2", b"1\t0\n", b"1 0 2\n", b"1\t0\t2\t3\n", b"-1\t0\t2\n"], ids=repr)
def test_line_that_is_not_the_kernels_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/sys/fs/file-nr: expected three numbers"):
        parse_file_nr(text)


def test_page_has_both_gauges() -> None:
    rows = rows_of(FileHandles(TreeFiles({"proc/sys/fs/file-nr": b"5\t0\t10\n"})).collect())
    assert rows == {("node_filefd_allocated", 5.0), ("node_filefd_maximum", 10.0)}
