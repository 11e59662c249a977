import contextlib
import os
from pathlib import Path

import pytest

from bench import devices, network, peers
from bench.devices import measure_devices
from bench.plan import QUICK
from bench.summary import Record
from tests.unit.bench.test_peers import sides as _sides

sides = _sides


def test_a_further_sample_costs_the_difference_of_the_two_networks() -> None:
    found, record = Record(), Record()
    for cpu, many in ((0.001, 300), (0.002, 1300)):
        suffix = devices._BARE if many == 300 else devices._FULL
        found.add("ours" + suffix, "hot_cpu", cpu)
        found.add("ours" + suffix, "samples", many)
    devices.compare("ours", found, record)
    assert record.blocks("ours", "more_samples") == [1000]
    assert record.blocks("ours", "more_cpu") == pytest.approx([1e-6])


def test_without_root_the_rows_say_so(sides: peers.Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    record = Record()
    measure_devices(sides, tmp_path, QUICK, record, lambda _: None)
    assert record.reason(peers.OURS_MORE) == record.reason(peers.OURS_MORE_NETCLASS) == "needs root"
    assert record.plain() == {}


@pytest.mark.needs("root", "ip")
def test_a_network_of_our_own_leaves_this_machines_alone() -> None:
    before = interfaces()
    with network.Network() as own:
        own.add_devices(4)
        with own.inside():
            assert len(interfaces()) == 5
        assert interfaces() == before
        with contextlib.suppress(ZeroDivisionError), own.inside():
            raise ZeroDivisionError
        assert interfaces() == before


def interfaces() -> set[str]:
    """Return the devices of the network that this thread is in (/proc/thread-self/net/dev)."""
    lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    return {line.partition(":")[0].strip() for line in lines}
