"""Network devices: the rows of node_exporter, whichever way they are read; nothing is read while nothing changes."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector import NoData
from exporter.collectors import netclass
from exporter.collectors.links import Attributes, Link, Links
from exporter.collectors.netclass import REFRESH_SECONDS, NetClass, device_names, read_files
from exporter.collectors.runner import Runner
from exporter.kernel import KernelError, KernelFiles
from exporter.settings import Regex
from tests.support.kernel import MemoryFiles, collect
from tests.support.trees import TREES, OneCollector, cases, check_golden, files_of, series

NONE = Regex("^$")
PATIENCE = 20
"""Seconds after which a test gives up on what should happen at once."""
CASES = pytest.mark.parametrize("case", cases("netclass"), ids=lambda case: case.name)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TREES / "netclass/debian12-6.18", tmp_path / "tree"))


@CASES
def test_page_is_the_recorded_one(case: Path, rewrite_golden: bool) -> None:
    check_golden(case / "page.prom", collect(NetClass(files_of(case), NONE)), rewrite=rewrite_golden)


@CASES
@pytest.mark.needs("node_exporter")
def test_rows_are_node_exporters(case: Path) -> None:
    with OneCollector("netclass", f"--path.sysfs={case / 'sys'}") as peer:
        theirs = series(peer.page(), "node_network")
    assert without_admin_state(series(collect(NetClass(files_of(case), NONE)))) == theirs


@pytest.mark.needs("linux", "node_exporter")
def test_live_rows_are_node_exporters() -> None:
    with OneCollector("netclass") as peer:
        theirs = series(peer.page(), "node_network")
        ours = series(collect(NetClass(KernelFiles(), NONE)))
    assert without_admin_state(ours) == theirs


def without_admin_state(rows: dict) -> dict:
    """Return the rows without the label that node_exporter has since 1.6."""
    return {
        (name, frozenset(pair for pair in labels if pair[0] != "adminstate")): value
        for (name, labels), value in rows.items()
    }


def test_ignored_devices_have_no_rows(tree: Path) -> None:
    devices = {dict(labels)["device"] for _, labels in series(collect(NetClass(files_of(tree), Regex("^(lo|ifb)"))))}
    assert devices == {"eth0"}


def test_devices_come_and_go(tree: Path) -> None:
    collector = NetClass(files_of(tree), NONE)
    folder = tree / "sys/class/net"
    collect(collector)
    shutil.copytree(folder / "eth0", folder / "eth1")
    shutil.rmtree(folder / "ifb0")
    devices = {dict(labels)["device"] for _, labels in series(collect(collector))}
    assert devices == {"eth0", "eth1", "lo"}


def test_device_that_vanishes_while_it_is_read_has_no_rows(tree: Path) -> None:
    (tree / "sys/class/net/gone").mkdir()
    assert b"gone" not in collect(NetClass(files_of(tree), NONE))


def test_tree_without_network_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoData):
        collect(NetClass(KernelFiles(sys=tmp_path), NONE))


@pytest.mark.parametrize(("file", "text"), [("mtu", b"15"), ("mtu", b"x\n"), ("mtu", b""), ("flags", b"0xg\n")])
def test_cut_or_strange_file_is_an_error_with_its_name(tree: Path, file: str, text: bytes) -> None:
    (tree / "sys/class/net/eth0" / file).write_bytes(text)
    with pytest.raises(KernelError, match=f"eth0/{file}"):
        collect(NetClass(files_of(tree), NONE))


@pytest.mark.parametrize(("flags", "state"), [(b"0x1003\n", "up"), (b"01003\n", "up"), (b"0x1002\n", "down")])
def test_state_that_was_set_is_a_bit_of_the_flags(tree: Path, flags: bytes, state: str) -> None:
    (tree / "sys/class/net/eth0/flags").write_bytes(flags)
    infos = [dict(labels) for name, labels in series(collect(NetClass(files_of(tree), NONE))) if name.endswith("_info")]
    assert [info["adminstate"] for info in infos if info["device"] == "eth0"] == [state]


@given(st.sampled_from(sorted(netclass._FILES)), st.binary(max_size=12))
def test_garbage_gives_rows_or_an_error(tmp_path_factory: pytest.TempPathFactory, file: str, text: bytes) -> None:
    device = tmp_path_factory.mktemp("sys") / "class/net/eth0"
    device.mkdir(parents=True)
    (device / "ifindex").write_bytes(b"2\n")
    (device / file).write_bytes(text)
    try:
        series(collect(NetClass(KernelFiles(sys=device.parents[2]), NONE)))
    except KernelError:
        return


# ---- by rtnetlink, which here says what a test tells it to


class Told(Links):
    """Stands in for the kernel: tells of the recorded tree's devices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.event = False
        self.reads = 0
        self.error: KernelError | None = None
        self.more: list[Link] = []

    def changed(self) -> bool:
        event, self.event = self.event, False
        return event

    def read(self) -> list[Link]:
        self.reads += 1
        if self.error:
            raise self.error
        # what files alone have is not told
        told = tuple(name for name in netclass._FILES if name not in (*netclass._SEDENTARY, *netclass._RESTLESS))
        return [
            Link(name, {"address": b""} | read_files(str(self.folder), name, told))
            for name in device_names(str(self.folder))
        ] + self.more

    def close(self) -> None:
        """Nothing is open."""


class Machine:
    """A collector over a tree that passes for the kernel's own."""

    def __init__(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tree / "sys/class/net"
        self.told = Told(self.folder)
        self.now = 1000.0
        self.read: list[str] = []
        monkeypatch.setattr(netclass, "_open_links", lambda folder, links: self.told)
        monkeypatch.setattr(netclass, "read_files", self._read)
        self.collector = NetClass(files_of(tree), NONE, clock=lambda: self.now)
        self.by_files: Callable[[], bytes] = lambda: netclass.render(
            {name: read_files(str(self.folder), name, netclass._FILES) for name in device_names(str(self.folder))}
        )

    def _read(self, folder: str, device: str, names: tuple[str, ...]) -> Attributes:
        self.read += [f"{device}/{name}" for name in names]
        return read_files(folder, device, names)

    def set(self, file: str, text: bytes) -> None:
        (self.folder / file).write_bytes(text)


@pytest.fixture
def machine(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tree, monkeypatch)


def test_both_ways_give_one_page(machine: Machine) -> None:
    assert collect(machine.collector) == machine.by_files()


def test_quiet_kernel_is_not_asked_and_the_collector_does_not_block(machine: Machine) -> None:
    assert machine.collector.blocking
    first = machine.collector.collect()
    machine.read.clear()
    assert not machine.collector.blocking
    assert machine.collector.collect() is first
    assert (machine.told.reads, machine.read) == (1, [])


def test_told_change_shows_and_reads_files_of_that_device_only(machine: Machine) -> None:
    collect(machine.collector)
    machine.set("eth0/mtu", b"9000\n")
    machine.set("eth0/speed", b"2500\n")
    machine.told.event = True
    machine.read.clear()
    assert machine.collector.blocking
    assert machine.collector.collect() == machine.by_files()
    assert {name.split("/")[0] for name in machine.read} == {"eth0"}


def test_told_change_shows_though_blocking_is_asked_twice(machine: Machine) -> None:
    collect(machine.collector)
    machine.set("eth0/mtu", b"9000\n")
    machine.told.event = True
    assert machine.collector.blocking
    assert machine.collector.blocking
    assert machine.collector.collect() == machine.by_files()
    assert not machine.collector.blocking


def test_told_change_is_on_the_next_page_of_a_scrape_now(machine: Machine) -> None:
    async def test() -> None:
        runner = Runner([machine.collector], MemoryFiles({}), PATIENCE)

        async def scrape() -> bytes:
            page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            runner.scrape(page.set_result, names=None, gzip=False, timeout=PATIENCE, now=True)
            return await asyncio.wait_for(page, PATIENCE)

        await scrape()
        machine.set("eth0/mtu", b"9000\n")
        machine.told.event = True
        assert machine.by_files() in await scrape()
        runner.close()

    asyncio.run(test())


def test_speed_that_nobody_tells_of_shows_after_a_while(machine: Machine) -> None:
    collect(machine.collector)
    machine.set("eth0/speed", b"2500\n")
    (machine.folder / "eth0/duplex").unlink()
    machine.now += REFRESH_SECONDS
    assert collect(machine.collector) == machine.by_files()
    assert not machine.collector.blocking


def test_flags_that_an_old_kernel_does_not_tell_are_read_at_each_change(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = machine.told.read
    old = lambda: [Link(link.name, {k: v for k, v in link.attributes.items() if k != "flags"}) for link in tell()]
    monkeypatch.setattr(machine.told, "read", old)
    assert collect(machine.collector) == machine.by_files()
    machine.set("eth0/flags", b"0x1103\n")
    machine.told.event = True
    assert collect(machine.collector) == machine.by_files()


def test_devices_of_another_namespace_than_the_tree_are_not_mixed_up(machine: Machine) -> None:
    machine.told.more = [Link("veth9", {"ifindex": b"9", "address": b""})]
    assert collect(machine.collector) == machine.by_files()
    assert machine.collector.blocking, "it is read again and again"


def test_device_of_that_name_in_another_namespace_is_not_mixed_up(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = machine.told.read
    other = lambda: [Link(link.name, link.attributes | {"ifindex": b"99", "mtu": b"1"}) for link in tell()]
    monkeypatch.setattr(machine.told, "read", other)
    assert collect(machine.collector) == machine.by_files()


def test_failed_read_is_no_rows_and_is_made_good_by_the_next(machine: Machine) -> None:
    collect(machine.collector)
    machine.told.event = True
    machine.told.error = KernelError("rtnetlink: timed out")
    with pytest.raises(KernelError, match="rtnetlink"):
        collect(machine.collector)
    machine.told.error = None
    assert machine.collector.blocking
    assert machine.collector.collect() == machine.by_files()
