"""Protocol counters, and files of names above numbers in general."""

import pytest

from exporter.collectors.fields import FieldTable
from exporter.collectors.netstat import NetStat, key_of
from exporter.kernel import KernelError
from exporter.settings.values import Regex
from tests.support.kernel import rows_of
from tests.support.kernel_trees import NETSTAT, TreeFiles

TABLE = b"Tcp: MaxConn ActiveOpens InErrs\nTcp: -1 5 6\nUdp: InErrors\nUdp: 7\n"
EXT = b"TcpExt: TCPTimeouts Other\nTcpExt: 1 2\n"
FILES = {
    "proc/net/netstat": EXT,
    "proc/net/snmp": TABLE,
    "proc/net/snmp6": b"Ip6InOctets   \t8\nIp6InReceives \t9\nIcmp6OutType133 \t4\n",
}


def rows(**values: float) -> set[tuple[str, float]]:
    return {(f"node_netstat_{name}", value) for name, value in values.items()}


def test_fields_of_all_three_files_are_named_after_protocol_and_field() -> None:
    wanted = rows(TcpExt_TCPTimeouts=1, Tcp_ActiveOpens=5, Tcp_InErrs=6, Udp_InErrors=7, Ip6_InOctets=8)
    assert rows_of(NetStat(TreeFiles(FILES), NETSTAT).collect()) == wanted


def test_machine_without_ipv6_lacks_its_rows_only_and_ipv6_may_come_and_go() -> None:
    files = TreeFiles(FILES)
    collector = NetStat(files, NETSTAT)
    whole = rows_of(collector.collect())
    del files.contents["proc/net/snmp6"]
    assert rows_of(collector.collect()) == {row for row in whole if "Ip6" not in row[0]}
    files.contents["proc/net/snmp6"] = FILES["proc/net/snmp6"]
    assert rows_of(collector.collect()) == whole


@pytest.mark.parametrize("file", ["proc/net/netstat", "proc/net/snmp"])
def test_one_of_the_other_files_missing_is_an_error(file: str) -> None:
    files = TreeFiles(FILES)
    del files.contents[file]
    with pytest.raises(KernelError, match=file):
        NetStat(files, NETSTAT).collect()


def test_settings_can_want_everything_negative_numbers_included() -> None:
    found = dict(rows_of(NetStat(TreeFiles(FILES), Regex(".*")).collect()))
    assert found["node_netstat_Tcp_MaxConn"] == -1
    assert found["node_netstat_Icmp6_OutType133"] == 4
    assert len(found) == 9


def test_field_that_stands_in_two_files_is_an_error() -> None:
    files = TreeFiles(FILES | {"proc/net/snmp": EXT})
    with pytest.raises(KernelError, match="each once"):
        NetStat(files, NETSTAT).collect()


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("Ip6InOctets", "Ip6_InOctets"),
        ("UdpLite6InErrors", "UdpLite6_InErrors"),
        ("Icmp6OutType136", "Icmp6_OutType136"),
    ],
)
def test_protocol_of_snmp6_ends_with_the_first_6(field: str, key: str) -> None:
    assert key_of(field) == key


def table() -> FieldTable:
    return FieldTable("proc/x", lambda key: "w" in key)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        pytest.param(
            [b"A: w1 b w2\nA: 1 2 3\n", b"A: w1 b w2\nA: 4 2 -6\n"], [[b"1", b"3"], [b"4", b"-6"]], id="other numbers"
        ),
        pytest.param([b"A: w1 b\nA: 1 2\n", b"A: b w1\nA: 1 2\n"], [[b"1"], [b"2"]], id="columns change places"),
        pytest.param(
            [b"A: w1\nA: 1\nB: w1\nB: 2\n", b"B: w1\nB: 2\n", b"A: w1\nA: 1\n"],
            [[b"1", b"2"], [b"2"], [b"1"]],
            id="protocols go",
        ),
        pytest.param([b"A: b\nA: 2\n"], [[]], id="none wanted"),
    ],
)
def test_each_read_gives_the_numbers_of_its_moment(texts: list[bytes], values: list[list[bytes]]) -> None:
    fields = table()
    assert [fields.read(text) for text in texts] == values


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"A: w1\n",
        b"A: w1\nA: 1",
        b"A: w1\nB: 1\n",
        b"A: w1 w2\nA: 1\n",
        b"A: w1\nA: 1 2\n",
        b"A: w1\nA: x\n",
        b"A: w1\nA: 1-2\n",
        b"A: w1 w2\nA: 1  \n",
        b"A: w1\n\n",
        b"A w1\nA 1\n",
        b"A: w1 w1\nA: 1 2\n",
        b"A: w1\nA: 1\nA: w1\nA: 1\n",
    ],
    ids=repr,
)
def test_text_that_is_not_the_kernels_is_an_error_also_after_a_good_file(text: bytes) -> None:
    fields = table()
    for _ in range(2):
        with pytest.raises(KernelError, match=r"^proc/x: expected"):
            fields.read(text)
        assert fields.read(b"A: w1\nA: 1\n") == [b"1"]
