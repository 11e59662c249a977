"""Queues of UDP sockets: bytes summed by IP version."""

import pytest

from exporter.collector import NoData
from exporter.collectors.udp_queues import UdpQueues, sum_queues
from exporter.kernel import KernelError
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles

HEADING = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer "
    b"drops             \n"
)
V4, V6 = "proc/net/udp", "proc/net/udp6"


def socket(sent: int, received: int, address: bytes = b"0100007F") -> bytes:
    queues = b"%08X:%08X" % (sent, received)
    return (
        b"   53: "
        + address
        + b":0035 "
        + address
        + b":0000 07 "
        + queues
        + b" 00:00000000 00000000 102 0 20234 2 0000000000000000 0\n"
    )


@pytest.mark.parametrize(
    ("sockets", "sums"),
    [
        pytest.param(b"", (0, 0), id="no socket: nothing waits"),
        pytest.param(socket(0, 0) * 3, (0, 0), id="empty queues"),
        pytest.param(socket(0x2A, 0x10000) + socket(1, 0xFF), (43, 65791), id="hexadecimal"),
        pytest.param(socket(3, 4, b"00000000000000000000000001000000"), (3, 4), id="IPv6 addresses"),
    ],
)
def test_bytes_to_send_and_bytes_received_are_summed(sockets: bytes, sums: tuple[int, int]) -> None:
    assert sum_queues(V4, HEADING + sockets) == sums


@pytest.mark.parametrize(
    "text",
    [
        b"",
        HEADING[:-1],
        socket(1, 2),
        HEADING + socket(1, 2)[:-1],
        HEADING + b"\n",
        HEADING + socket(1, 2) + b"   54: x\n",
        HEADING * 2,
    ],
    ids=["empty", "cut heading", "no heading", "cut", "empty line", "short line", "two headings"],
)
def test_text_that_is_not_the_kernels_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/net/udp6: expected"):
        sum_queues(V6, text)


def rows(version: str, sent: float, received: float) -> set[tuple[str, float]]:
    return {
        (f'node_udp_queues{{ip="{version}",queue="{queue}"}}', value)
        for queue, value in (("tx", sent), ("rx", received))
    }


def test_either_ip_version_may_be_missing_and_come_and_go() -> None:
    files = TreeFiles({})
    collector = UdpQueues(files)
    with pytest.raises(NoData):
        collector.collect()
    files.contents[V4] = HEADING + socket(1, 2)
    assert rows_of(collector.collect()) == rows("v4", 1, 2)
    files.contents[V6] = HEADING + socket(3, 0)
    assert rows_of(collector.collect()) == rows("v4", 1, 2) | rows("v6", 3, 0)
    del files.contents[V4]
    assert rows_of(collector.collect()) == rows("v6", 3, 0)
