"""What disks and the network move in a second, for the history: from two readings, of what is there."""

import pytest

from exporter.collectors.devices import DeviceFilter
from exporter.collectors.kernel_rates import MAX_DEVICES, KernelRates, disk_counters, net_counters
from exporter.kernel import KernelError
from exporter.settings.values import Regex
from tests.support.kernel import MemoryFiles

HEADING = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast"
    "|bytes    packets errs drop fifo colls carrier compressed\n"
)
ALL = DeviceFilter()


def net(**devices: tuple[int, int]) -> bytes:
    lines = (f"{name}: {i} 1 0 0 0 0 0 0 {o} 1 0 0 0 0 0 0\n" for name, (i, o) in devices.items())
    return (HEADING + "".join(lines)).encode()


def disks(**devices: tuple[int, int]) -> bytes:
    lines = (f" 254 0 {name} 9 9 {read} 9 9 9 {written} 9 0 9 9\n" for name, (read, written) in devices.items())
    return "".join(lines).encode()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_is_what_moved_between_two_samples() -> None:
    files = MemoryFiles({"proc/net/dev": net(eth0=(1000, 50)), "proc/diskstats": disks(vda=(2, 4))})
    clock = Clock()
    rates = KernelRates(files, ALL, ALL, clock)
    assert rates() == {}, "one reading tells no rate"
    files.contents.update({"proc/net/dev": net(eth0=(6000, 60)), "proc/diskstats": disks(vda=(12, 4))})
    clock.now += 5
    assert rates() == {
        ("receive", "eth0"): 1000,
        ("transmit", "eth0"): 2,
        ("read", "vda"): 1024,
        ("written", "vda"): 0,
    }


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(net(eth0=(5, 5)), id="counters began anew"),
        pytest.param(net(eth1=(5000, 5000)), id="another device"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_cannot_be_compared_has_no_rate(second: bytes) -> None:
    files, clock = MemoryFiles({"proc/net/dev": net(eth0=(1000, 1000))}), Clock()
    rates = KernelRates(files, ALL, None, clock)
    rates()
    files.contents["proc/net/dev"] = second
    clock.now += 5
    assert rates() == {}


def test_what_is_not_there_costs_its_own_rates_only() -> None:
    files, clock = MemoryFiles({"proc/diskstats": disks(vda=(2, 4))}), Clock()
    rates = KernelRates(files, ALL, ALL, clock)
    rates()
    clock.now += 5
    assert rates() == {("read", "vda"): 0, ("written", "vda"): 0}


def test_inner_unused_and_unwanted_interfaces_are_left_out() -> None:
    text = net(lo=(9, 9), veth1a=(9, 9), idle=(0, 0), tun0=(9, 9), eth0=(1, 2))
    assert net_counters(text, DeviceFilter(exclude=Regex("tun.*"))) == {"eth0": (1, 2)}


def test_unused_and_unwanted_disks_are_left_out() -> None:
    text = disks(vda=(1, 0), vda1=(1, 0), zram0=(0, 0)) + b" 8 1 sda1 1 2 3 4\n"
    assert disk_counters(text, DeviceFilter(exclude=Regex(r"vda\d"))) == {"vda": (512, 0)}


def test_devices_are_bounded() -> None:
    assert len(net_counters(net(**{f"eth{n}": (1, 1) for n in range(100)}), ALL)) == MAX_DEVICES
    assert len(disk_counters(disks(**{f"sd{n}": (1, 1) for n in range(100)}), ALL)) == MAX_DEVICES


@pytest.mark.parametrize("line", ["eth0: 1 2 3\n", "eth0: x 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n", "eth0\n"], ids=repr)
def test_line_that_is_no_interface_is_an_error(line: str) -> None:
    with pytest.raises(KernelError, match="expected a device"):
        net_counters((HEADING + line).encode(), ALL)


def test_line_that_is_no_disk_is_an_error() -> None:
    with pytest.raises(KernelError, match="expected a device"):
        disk_counters(b" 254 0 vda 9 9 x 9 9 9 1 9 0 9 9\n", ALL)
