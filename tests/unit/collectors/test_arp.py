"""The ARP table: entries counted by device."""

import pytest

from exporter.collectors.arp import Arp, parse_arp
from exporter.collectors.devices import DeviceFilter
from exporter.kernel import KernelError
from exporter.settings.values import Regex
from tests.support.kernel import rows_of
from tests.support.kernel_trees import TreeFiles

HEADING = b"IP address       HW type     Flags       HW address            Mask     Device\n"
ETH0 = b"192.0.2.1        0x1         0x2         02:fc:00:00:00:05     *        eth0\n"
LINES = {
    "complete": ETH0,
    "incomplete": b"192.0.2.9        0x1         0x0         00:00:00:00:00:00     *        eth0\n",
    "published": b"192.0.2.8        0x1         0xc         00:00:00:00:00:00     *        eth0\n",
    "infiniband": b"192.0.2.7        0x20        0x2         80:00:00:48:fe:80:00:00:00:0     *        eth0\n",
    "no hardware address": b"192.0.2.6        0x30a       0x2              *        eth0\n",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_each_line_is_an_entry_of_its_device(line: bytes) -> None:
    assert parse_arp(HEADING + line + ETH0) == {b"eth0": 2}


def test_published_entry_of_every_device_counts_for_the_star_that_the_kernel_writes() -> None:
    assert parse_arp(HEADING + LINES["published"].replace(b"eth0", b"*")) == {b"*": 1}


@pytest.mark.parametrize(
    "text",
    [
        HEADING[:-1],
        ETH0,
        HEADING + ETH0[:-1],
        HEADING + b"\n",
        HEADING + HEADING,
        HEADING + b"eth0\n",
        HEADING + ETH0.replace(b"*", b""),
    ],
    ids=repr,
)
def test_text_that_is_not_the_kernels_is_an_error(text: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/net/arp: expected"):
        parse_arp(text)


def test_devices_come_and_go_and_none_are_no_rows() -> None:
    files = TreeFiles({})
    collector = Arp(files, DeviceFilter())
    for text, rows in (
        (ETH0, {('node_arp_entries{device="eth0"}', 1.0)}),
        (
            ETH0 + ETH0.replace(b"eth0", b"docker0"),
            {('node_arp_entries{device="eth0"}', 1.0), ('node_arp_entries{device="docker0"}', 1.0)},
        ),
        (b"", set()),
        (ETH0 * 3, {('node_arp_entries{device="eth0"}', 3.0)}),
    ):
        files.contents["proc/net/arp"] = HEADING + text
        assert rows_of(collector.collect()) == rows


@pytest.mark.parametrize(
    ("devices", "names"),
    [
        pytest.param(DeviceFilter(), {"eth0", "veth1"}, id="all"),
        pytest.param(DeviceFilter(exclude=Regex("veth.*")), {"eth0"}, id="exclude"),
        pytest.param(DeviceFilter(include=Regex("veth.*")), {"veth1"}, id="include"),
        pytest.param(DeviceFilter(include=Regex("veth")), set(), id="whole names only"),
        pytest.param(DeviceFilter(include=Regex("veth1"), exclude=Regex(".*")), {"veth1"}, id="include alone decides"),
    ],
)
def test_settings_choose_devices_by_their_whole_name(devices: DeviceFilter, names: set[str]) -> None:
    files = TreeFiles({"proc/net/arp": HEADING + ETH0 + ETH0.replace(b"eth0", b"veth1")})
    assert rows_of(Arp(files, devices).collect()) == {(f'node_arp_entries{{device="{name}"}}', 1.0) for name in names}
