"""Network devices: come, go, are renamed and change places; counters are the kernel's own digits."""

from collections.abc import Iterable
from typing import cast

import pytest

from exporter.collectors.devices import DeviceFilter
from exporter.collectors.netdev import COUNTERS, NetDev, parse_device
from exporter.kernel import KernelError, KernelFile
from exporter.settings import Regex
from tests.support.kernel import MemoryFiles, collect, rows_of

HEADING = (
    b"Inter-|   Receive                                                |  Transmit\n"
    b" face |bytes    packets errs drop fifo frame compressed multicast"
    b"|bytes    packets errs drop fifo colls carrier compressed\n"
)


ALL = DeviceFilter()


class Machine:
    """A collector whose devices a test sets before each scrape: name and first counter; the others count on from it."""

    def __init__(self, wanted: DeviceFilter = ALL) -> None:
        self.files = MemoryFiles({})
        self.collector = NetDev(self.files, wanted)

    def set(self, *devices: tuple[bytes, int], nohandler: Iterable[bytes] | None = None) -> None:
        self.files.contents.clear()
        lines = [b"%6s: %s\n" % (name, b" ".join(b"%d" % (first + n) for n in range(16))) for name, first in devices]
        self.files.contents["proc/net/dev"] = HEADING + b"".join(lines)
        for name, first in devices:
            if nohandler is None or name in nohandler:
                path = f"sys/class/net/{name.decode('latin-1')}/statistics/rx_nohandler"
                self.files.contents[path] = b"%d\n" % (first + 99)

    def scrape(self, *devices: tuple[bytes, int], nohandler: Iterable[bytes] | None = None) -> dict[str, float]:
        self.set(*devices, nohandler=nohandler)
        return dict(rows_of(collect(self.collector)))


def wanted(*devices: tuple[str, int], nohandler: bool = True) -> dict[str, float]:
    rows = {f'{f.name}{{device="{name}"}}': first + n for name, first in devices for n, f in enumerate(COUNTERS)}
    if nohandler:
        rows |= {f'node_network_receive_nohandler_total{{device="{name}"}}': first + 99 for name, first in devices}
    return rows


def test_columns_become_counters_in_the_kernels_order() -> None:
    receive = ("bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast")
    transmit = ("bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed")
    assert [family.name for family in COUNTERS] == [
        *(f"node_network_receive_{key}_total" for key in receive),
        *(f"node_network_transmit_{key}_total" for key in transmit),
    ]
    assert Machine().scrape((b"eth0", 100)) == wanted(("eth0", 100))


@pytest.mark.parametrize("line", [b"eth0:1 2", b"  eth0:      1  2"], ids=["no blank after the colon", "blanks"])
def test_digits_pass_through_whatever_the_blanks(line: bytes) -> None:
    assert parse_device(line + b" 3 4 5 6 7 8 9 10 11 12 13 14 15 18446744073709551615")[::15] == [
        b"1",
        b"18446744073709551615",
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"eth0:",
        b"eth0: " + b"1 " * 15,
        b"eth0: " + b"1 " * 17,
        b"eth0: " + b"1 " * 15 + b"x",
        b"eth0: " + b"1 " * 15 + b"-1",
    ],
    ids=["none", "15", "17", "a letter", "negative"],
)
def test_line_without_sixteen_counters_is_an_error(line: bytes) -> None:
    with pytest.raises(KernelError, match=r"^proc/net/dev: expected a device and 16 counters"):
        parse_device(line)


@pytest.mark.parametrize(
    "line", [b"1 " * 16, b": " + b"1 " * 16, b"   : " + b"1 " * 16], ids=["no colon", "no name", "blanks"]
)
def test_line_without_a_name_is_an_error(line: bytes) -> None:
    files = MemoryFiles({"proc/net/dev": HEADING + line + b"\n"})
    with pytest.raises(KernelError, match="expected the name of a device"):
        NetDev(files, DeviceFilter()).collect()


def test_other_heading_is_an_error_since_it_means_other_columns() -> None:
    files = MemoryFiles({"proc/net/dev": HEADING.replace(b"colls", b"color") + b"lo: " + b"1 " * 16 + b"\n"})
    with pytest.raises(KernelError, match="heading"):
        NetDev(files, DeviceFilter()).collect()


A, B, C = (b"eth0", 1000), (b"wlan0", 2000), (b"veth12ab", 3000)
A2, B2, C2 = (b"eth0", 1100), (b"wlan0", 2200), (b"veth12ab", 5)


@pytest.mark.parametrize(
    "scrapes",
    [
        pytest.param([[A], [A2, B], [A2, B2]], id="one appears"),
        pytest.param([[A, B], [A2], [A2]], id="one goes"),
        pytest.param([[A, B, C], [B, C2], [A2, B2, C2]], id="one goes and comes back"),
        pytest.param([[A, B], [B, A], [A, B], [B2, A2]], id="places change"),
        pytest.param([[A, B], [(b"lan0", 1000), B], [A, B2]], id="renamed"),
        pytest.param([[C], [C2], [(b"veth12ab", 0)]], id="made anew with lower counters"),
        pytest.param([[A], [], [A2], [], []], id="none for a while"),
        pytest.param([[A], [(b"e", 1000)], [(b"a-long-name-of-15", 1000)]], id="other widths"),
    ],
)
def test_each_scrape_shows_the_devices_of_its_moment(scrapes: list[list[tuple[bytes, int]]]) -> None:
    machine = Machine()
    for devices in scrapes:
        assert machine.scrape(*devices) == wanted(*((name.decode(), first) for name, first in devices))


@pytest.mark.parametrize("bad", [None, b"", HEADING[:-1], HEADING + b"eth0: 1 2\n", HEADING + b"1\n"], ids=repr)
def test_failed_scrape_in_the_middle_leaves_the_next_one_right(bad: bytes | None) -> None:
    machine = Machine()
    machine.scrape(A, B)
    machine.files.contents.pop("proc/net/dev")
    if bad is not None:
        machine.files.contents["proc/net/dev"] = bad
    with pytest.raises(KernelError):
        machine.collector.collect()
    assert machine.scrape() == {}
    assert machine.scrape(B2, C) == wanted(("wlan0", 2200), ("veth12ab", 3000))


def test_device_that_stands_twice_while_the_list_changes_has_one_row() -> None:
    assert Machine().scrape((b"eth0", 1), (b"wlan0", 2), (b"eth0", 3)) == wanted(("eth0", 3), ("wlan0", 2))


def test_old_kernel_without_nohandler_lacks_that_family_only() -> None:
    assert Machine().scrape(A, B, nohandler=()) == wanted(("eth0", 1000), ("wlan0", 2000), nohandler=False)


def test_device_without_nohandler_does_not_cost_the_others_theirs() -> None:
    rows = Machine().scrape(A, B, nohandler=[b"wlan0"])
    assert rows == wanted(("eth0", 1000), nohandler=False) | wanted(("wlan0", 2000))


def test_device_that_goes_between_the_two_reads_costs_no_wrong_row_and_the_next_scrape_is_whole() -> None:
    machine = Machine()
    machine.scrape(A, B)
    rows = machine.scrape(A2, B2, nohandler=[b"eth0"])
    assert rows == wanted(("eth0", 1100), ("wlan0", 2200), nohandler=False)
    assert machine.scrape(A2) == wanted(("eth0", 1100))


class ReadingIsSeen(MemoryFiles):
    """Notes of which device the counter beside the kernel's list is read."""

    def __init__(self) -> None:
        super().__init__({})
        self.read: list[str] = []

    def open_own(self, name: str, *, whole: bool = False) -> KernelFile:
        device = name.removeprefix("sys/class/net/").partition("/")[0]
        file, noted = super().open_own(name), self.read

        class Noting:
            def read(self) -> bytes:
                noted.append(device)
                return file.read()

        return cast(KernelFile, Noting())


def test_nohandler_is_read_only_where_the_devices_line_moved() -> None:
    machine = Machine()
    machine.files = files = ReadingIsSeen()
    machine.collector = NetDev(files, ALL)
    machine.scrape(A, B, C)
    for devices, read in (
        ([A, B, C], []),
        ([A, B2, C], ["wlan0"]),
        ([A2, B2, C], ["eth0"]),
        ([A2, B2, C], []),
        ([A, B, C2], ["eth0", "wlan0", "veth12ab"]),
    ):
        files.read.clear()
        rows = machine.scrape(*devices)
        assert files.read == read
        assert rows == wanted(*((name.decode(), first) for name, first in devices))


def test_nohandler_that_moved_alone_waits_for_the_devices_line() -> None:
    """The kernel counts a packet as received before it looks for somebody who wants it."""
    machine = Machine()
    machine.scrape(A)
    machine.files.contents["sys/class/net/eth0/statistics/rx_nohandler"] = b"5000\n"
    assert dict(rows_of(machine.collector.collect())) == wanted(("eth0", 1000))


@pytest.mark.parametrize("text", [b"", b"7", b"x\n", b"-1\n", b"1\n2\n", b"\n"], ids=repr)
def test_nohandler_that_is_no_number_is_absent(text: bytes) -> None:
    machine = Machine()
    machine.set(A)
    machine.files.contents["sys/class/net/eth0/statistics/rx_nohandler"] = text
    assert dict(rows_of(machine.collector.collect())) == wanted(("eth0", 1000), nohandler=False)


@pytest.mark.parametrize("name", [b"a/../../b", b"a\0b", b"..", b"\xff\xfe"], ids=repr)
def test_odd_name_is_a_label_and_no_path(name: bytes) -> None:
    rows = Machine().scrape((name, 1), nohandler=())
    assert len(rows) == len(COUNTERS)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        pytest.param(DeviceFilter(), ["eth0", "lo", "veth1"], id="all"),
        pytest.param(DeviceFilter(exclude=Regex("veth.*")), ["eth0", "lo"], id="exclude"),
        pytest.param(DeviceFilter(include=Regex("veth.*")), ["veth1"], id="include"),
        pytest.param(DeviceFilter(exclude=Regex("eth")), ["eth0", "lo", "veth1"], id="whole names only"),
        pytest.param(DeviceFilter(include=Regex("none")), [], id="none"),
        pytest.param(DeviceFilter(Regex("veth.*|lo"), Regex("veth.*")), ["lo", "veth1"], id="include decides alone"),
    ],
)
def test_settings_choose_devices_by_their_whole_name(chosen: DeviceFilter, names: list[str]) -> None:
    first = {"eth0": 10, "lo": 20, "veth1": 30}
    rows = Machine(chosen).scrape((b"eth0", 10), (b"lo", 20), (b"veth1", 30))
    assert rows == wanted(*((name, first[name]) for name in names))


def test_device_left_out_is_not_even_looked_at() -> None:
    machine = Machine(DeviceFilter(exclude=Regex("bad")))
    machine.set(A)
    machine.files.contents["proc/net/dev"] += b"bad: 1 2\n"
    assert dict(rows_of(machine.collector.collect())) == wanted(("eth0", 1000))
