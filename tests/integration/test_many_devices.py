"""Five thousand network devices, made for real in a network of our own: bounded series, and scrapes below a second."""

import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from bench.network import Network
from exporter.collectors.cardinality import DEFAULT_PER_FAMILY, DROPPED, count_series
from exporter.collectors.netclass import NetClass
from exporter.collectors.netdev import NetDev
from tests.support.client import ask, request, until
from tests.support.exporter import COMMAND, Child
from tests.support.kernel import rows_of

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "root", "ip", "unshare")]

DEVICES = 5000
OVER = DEVICES + 1 - DEFAULT_PER_FAMILY
"""Devices, lo among them, that are more than a family may have."""


class World(NamedTuple):
    """An exporter and the network that it is in."""

    network: Network
    exporter: Child

    def scrape(self) -> tuple[float, bytes]:
        """Return the seconds that a scrape took as Prometheus sees it, and the bytes that came."""
        begin = time.monotonic()
        with self.network.inside():
            answer = ask(self.exporter.port, request("/metrics", "Accept-Encoding: gzip"))
        seconds = time.monotonic() - begin
        assert answer.status == 200
        return seconds, answer.body

    def page(self) -> bytes:
        with self.network.inside():
            return ask(self.exporter.port, request("/metrics")).body

    def ip(self, *words: str) -> None:
        with self.network.inside():
            subprocess.run(["ip", "link", *words], check=True)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Network() as network:
        network.add_devices(DEVICES)
        with network.inside():
            child = Child(network.wrap([*COMMAND]))
        try:
            made = World(network, child)
            # on a busy machine the first look at all of them may be over the collectors' time
            until(lambda: succeeded(made.page()), "both collectors have their rows", seconds=60)
            yield made
        finally:
            child.end()


def succeeded(page: bytes) -> bool:
    rows = dict(rows_of(page))
    return all(rows[f'node_scrape_collector_success{{collector="{name}"}}'] for name in (NetDev.name, NetClass.name))


def dropped(page: bytes) -> dict[str, float]:
    """Return the samples left out so far, by the collectors of devices."""
    rows = dict(rows_of(page))
    return {name: rows[f'{DROPPED.name}{{collector="{name}"}}'] for name in (NetDev.name, NetClass.name)}


def test_five_thousand_devices_are_bounded_in_series_and_what_is_left_out_is_counted(world: World) -> None:
    before = dropped(world.page())
    page = world.page()
    counts = count_series(page, [(NetDev.name, NetDev.families), (NetClass.name, NetClass.families)])
    assert max(count.series for count in counts) == DEFAULT_PER_FAMILY
    full = {count.family for count in counts if count.series == DEFAULT_PER_FAMILY}
    assert {family.name for family in NetDev.families} <= full
    assert {"node_network_info", "node_network_up", "node_network_mtu_bytes"} <= full
    of_class = full & {family.name for family in NetClass.families}
    after = dropped(page)
    assert {name: after[name] - before[name] for name in after} == {
        NetDev.name: OVER * len(NetDev.families),
        NetClass.name: OVER * len(of_class),
    }
    assert succeeded(page)


@pytest.mark.measured
def test_five_thousand_devices_are_scraped_within_a_second(world: World) -> None:
    """While they stay the same ones: a scrape after a change lays all rows out, and takes longer."""
    quiet = [world.scrape()[0] for _ in range(10)]
    changed = []
    for old, new in (("bench0", "further"), ("further", "bench0")):
        world.ip("set", old, "name", new)
        changed.append(world.scrape()[0])
    print(f"5,000 devices: {max(quiet):.2f} s at most, {max(changed):.2f} s after a change")
    assert max(quiet) < 1
