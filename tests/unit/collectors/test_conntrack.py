"""Connection tracking: entries and limit, and counters summed over CPUs."""

import pytest

from exporter.collector import NoData
from exporter.collectors.conntrack import Conntrack, split_statistics, sum_columns
from exporter.kernel import KernelError
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles

COUNT, MAX = "proc/sys/net/netfilter/nf_conntrack_count", "proc/sys/net/netfilter/nf_conntrack_max"
STATISTICS = "proc/net/stat/nf_conntrack"
TABLE = {COUNT: b"12\n", MAX: b"65536\n"}
HEADING = b"entries  clashres found insert search_restart\n"
TABLE_ROWS = {("node_nf_conntrack_entries", 12.0), ("node_nf_conntrack_entries_limit", 65536.0)}


def stat_rows(**values: float) -> set[tuple[str, float]]:
    return {(f"node_nf_conntrack_stat_{name}", value) for name, value in values.items()}


def test_counters_are_hexadecimal_and_summed_over_cpus_by_the_name_of_their_column() -> None:
    lines = b"0000000c  00000000 0000000a 000000ff 00000001\n0000000c  00000009 00000010 ffffffff 00000002\n"
    files = TreeFiles(TABLE | {STATISTICS: HEADING + lines})
    assert rows_of(Conntrack(files).collect()) == TABLE_ROWS | stat_rows(
        found=26, insert=0xFF + 0xFFFFFFFF, search_restart=3
    )


def test_kernel_without_the_statistics_has_entries_and_limit() -> None:
    assert rows_of(Conntrack(TreeFiles(TABLE)).collect()) == TABLE_ROWS


def test_machine_that_tracks_nothing_is_no_data() -> None:
    with pytest.raises(NoData):
        Conntrack(TreeFiles({})).collect()


def test_statistics_and_cpus_come_and_go() -> None:
    files = TreeFiles(TABLE)
    collector = Conntrack(files)
    one, two = b"0000000c  00000000 0000000a 00000001 00000001\n", b"0000000c  00000000 00000001 00000001 00000001\n"
    for text, rows in (
        (HEADING + one, stat_rows(found=10, insert=1, search_restart=1)),
        (HEADING + one + two, stat_rows(found=11, insert=2, search_restart=2)),
        (None, set()),
        (HEADING.replace(b"found", b"drop") + two, stat_rows(drop=1, insert=1, search_restart=1)),
        (HEADING + two, stat_rows(found=1, insert=1, search_restart=1)),
    ):
        files.contents.pop(STATISTICS, None)
        if text is not None:
            files.contents[STATISTICS] = text
        assert rows_of(collector.collect()) == TABLE_ROWS | rows


@pytest.mark.parametrize(
    "text",
    [b"", HEADING, HEADING[:-1], b"found\n1\n", HEADING + b"0000000c"],
    ids=["empty", "no CPU", "cut", "no heading", "cut line"],
)
def test_statistics_cut_short_are_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/net/stat/nf_conntrack: expected"):
        split_statistics(text)


@pytest.mark.parametrize(
    "line", [b"", b"00000001", b"00000001 00000002 00000003", b"00000001 0000000g", b"1 2"], ids=repr
)
def test_line_with_other_columns_than_the_heading_is_an_error(line: bytes) -> None:
    with pytest.raises(KernelError, match="expected 3 hexadecimal numbers"):
        sum_columns(3, [b"00000001 00000002", line], [1])


@pytest.mark.parametrize("file", [COUNT, MAX])
@pytest.mark.parametrize("text", [b"", b"1", b"-1\n", b"1 2\n", b"x\n"], ids=repr)
def test_table_size_that_is_no_number_is_an_error(file: str, text: bytes) -> None:
    with pytest.raises(KernelError, match=f"^{file}: expected a number"):
        Conntrack(TreeFiles(TABLE | {file: text})).collect()
