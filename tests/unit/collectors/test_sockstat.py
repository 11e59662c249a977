"""Sockets in use: every field that has a family, pages also in bytes."""

import pytest

from exporter.collector import NoData
from exporter.collectors.sockstat import SockStat, parse_sockstat
from exporter.kernel import KernelError
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles

V4, V6 = "proc/net/sockstat", "proc/net/sockstat6"


def test_fields_are_the_kernels_digits_and_pages_come_in_bytes_too() -> None:
    text = b"sockets: used 229\nTCP: inuse 4 orphan 0 tw 4 alloc 17 mem 3\nFRAG: inuse 0 memory 512\n"
    assert parse_sockstat(V4, text, 4096) == {
        ("sockets", "used"): b"229",
        ("TCP", "inuse"): b"4",
        ("TCP", "orphan"): b"0",
        ("TCP", "tw"): b"4",
        ("TCP", "alloc"): b"17",
        ("TCP", "mem"): b"3",
        ("TCP", "mem_bytes"): b"12288",
        ("FRAG", "inuse"): b"0",
        ("FRAG", "memory"): b"512",
    }


def test_another_protocol_is_exposed_and_another_field_is_not() -> None:
    assert parse_sockstat(V4, b"SCTP: inuse 4 novel 5\n", 4096) == {("SCTP", "inuse"): b"4"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"TCP: inuse 4",
        b"TCP: inuse\n",
        b"TCP: inuse -4\n",
        b"TCP inuse 4\n",
        b"TCP: inuse 4\nTCP: inuse 5\n",
        b"TCP: 4\n",
    ],
    ids=repr,
)
def test_line_that_is_not_the_kernels_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/net/sockstat6: expected"):
        parse_sockstat(V6, text, 4096)


def test_either_ip_version_may_be_missing_and_come_and_go() -> None:
    files = TreeFiles({})
    collector = SockStat(files, 4096)
    with pytest.raises(NoData):
        collector.collect()
    used, tcp6 = ("node_sockstat_sockets_used", 2.0), ("node_sockstat_TCP6_inuse", 3.0)
    files.contents[V4] = b"sockets: used 2\n"
    assert rows_of(collector.collect()) == {used}
    files.contents[V6] = b"TCP6: inuse 3\n"
    assert rows_of(collector.collect()) == {used, tcp6}
    del files.contents[V4]
    assert rows_of(collector.collect()) == {tcp6}


def test_failed_scrape_is_not_taken_for_a_good_one_the_next_time() -> None:
    collector = SockStat(TreeFiles({V4: b"TCP: inuse 1\n", V6: b"TCP: inuse 2\n"}), 4096)
    for _ in range(2):
        with pytest.raises(KernelError, match=r"^proc/net/sockstat6: expected protocols that are not in"):
            collector.collect()
