"""Packets by CPU: hexadecimal columns, of which each kernel has another number."""

import pytest

from exporter.collectors.softnet import COLUMNS, SoftNet
from exporter.kernel import KernelError
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles

NAMES = [family.name for _, family in COLUMNS]


def line(*columns: int) -> bytes:
    return b" ".join(b"%08x" % column for column in columns) + b"\n"


def collect(*lines: bytes) -> dict[str, float]:
    return dict(rows_of(SoftNet(TreeFiles({"proc/net/softnet_stat": b"".join(lines)})).collect()))


def rows(cpu: int, *values: int) -> dict[str, float]:
    return {f'{name}{{cpu="{cpu}"}}': value for name, value in zip(NAMES, values, strict=False)}


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        pytest.param((10, 11, 12, 0, 0, 0, 0, 0, 13), (10, 11, 12, 13), id="nine: Linux 2.6.23"),
        pytest.param((10, 11, 12, 0, 0, 0, 0, 0, 13, 14), (10, 11, 12, 13, 14), id="ten: 2.6.36"),
        pytest.param((10, 11, 12, 0, 0, 0, 0, 0, 13, 14, 15), (10, 11, 12, 13, 14, 15), id="eleven: 3.11"),
        pytest.param((10, 11, 12, 0, 0, 0, 0, 0, 13, 14, 15, 16, 0), (10, 11, 12, 13, 14, 15, 16), id="thirteen: 5.10"),
        pytest.param(
            (2**32 - 1, 11, 12, 0, 0, 0, 0, 0, 13, 14, 15, 16, 0, 17, 18),
            (2**32 - 1, 11, 12, 13, 14, 15, 16),
            id="fifteen: 6.2",
        ),
    ],
)
def test_each_kernel_has_the_rows_that_it_counts_and_no_zeros_for_the_rest(
    columns: tuple[int, ...], values: tuple[int, ...]
) -> None:
    assert collect(line(*columns)) == rows(0, *values)


def test_cpu_is_the_kernels_number_not_the_line_where_a_core_is_off_line() -> None:
    lines = [line(n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, cpu) for n, cpu in ((5, 0), (6, 2), (7, 31))]
    assert collect(*lines) == rows(0, 5, *[0] * 6) | rows(2, 6, *[0] * 6) | rows(31, 7, *[0] * 6)


def test_old_kernel_has_the_line_for_a_number() -> None:
    assert collect(line(5, *[0] * 9), line(6, *[0] * 9)) == rows(0, 5, 0, 0, 0, 0) | rows(1, 6, 0, 0, 0, 0)


def test_cores_come_and_go() -> None:
    files = TreeFiles({})
    collector = SoftNet(files)
    for cores in ([0, 1], [0], [1], [0, 1, 2], [2, 1]):
        files.contents["proc/net/softnet_stat"] = b"".join(line(core + 7, *[0] * 11, core) for core in cores)
        wanted = {key: value for core in cores for key, value in rows(core, core + 7, *[0] * 6).items()}
        assert dict(rows_of(collector.collect())) == wanted


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        line(*[0] * 8),
        line(*[0] * 9)[:-1],
        line(*[0] * 9) + line(*[0] * 10),
        line(*[0] * 13) * 2,
        line(*[0] * 9).replace(b"00000000", b"0000000g"),
        line(*[0] * 9).replace(b" ", b"\t"),
        line(*[0] * 12) + line(0),
        b"\xff" * 80 + b"\n" + line(*[0] * 9),
    ],
    ids=["empty", "empty line", "eight", "cut", "two widths", "a CPU twice", "no digit", "tabs", "short line", "bytes"],
)
def test_text_that_is_not_the_kernels_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/net/softnet_stat: expected"):
        collect(text)
