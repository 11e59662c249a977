"""Load averages: the kernel's own digits."""

import pytest

from exporter.collectors.loadavg import LoadAvg, parse_loadavg
from exporter.kernel import KernelError
from tests.support.kernel import MemoryFiles


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param(b"0.00 0.01 0.05 1/298 37\n", (b"0.00", b"0.01", b"0.05"), id="idle"),
        pytest.param(b"1234.56 99.99 12.00 13/8127 4194304\n", (b"1234.56", b"99.99", b"12.00"), id="busy"),
        pytest.param(b"0.38 0.12 0.03 0/108 0\n", (b"0.38", b"0.12", b"0.03"), id="a pid namespace without processes"),
    ],
)
def test_averages_are_the_kernels_own_digits(text: bytes, values: tuple[bytes, ...]) -> None:
    assert parse_loadavg(text) == values


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0.00 0.01 0.05 1/298 37",
        b"0.00 0.01 1/298 37\n",
        b"0.0 0.01 0.05 1/298 37\n",
        b"-0.10 0.01 0.05 1/298 37\n",
        b"nan 0.01 0.05 1/298 37\n",
        b"0,00 0,01 0,05 1/298 37\n",
        b"0.00 0.01 0.05 1/298 37\n0.00 0.01 0.05 1/298 37\n",
    ],
    ids=repr,
)
def test_line_that_is_not_the_kernels_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/loadavg: expected"):
        parse_loadavg(text)


def test_page_has_three_gauges() -> None:
    page = LoadAvg(MemoryFiles({"proc/loadavg": b"0.38 0.12 0.03 2/108 8764\n"})).collect().decode()
    lines = [line for line in page.splitlines() if not line.startswith("# HELP")]
    assert lines == [
        "# TYPE node_load1 gauge",
        "node_load1 0.38",
        "# TYPE node_load5 gauge",
        "node_load5 0.12",
        "# TYPE node_load15 gauge",
        "node_load15 0.03",
    ]
