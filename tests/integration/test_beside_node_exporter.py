"""Our node_* families beside node_exporter's own, and our parsers beside psutil, on the running kernel.

Each comparison takes the other's values right before and right after ours. A counter must lie between the two in
every round. A gauge can leave that range for a moment (memory freed and taken between two reads), so it must lie there
in at least one round of many: at a quiet moment that means equality, with no tolerance to argue about.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from exporter.collectors import COLLECTORS
from exporter.collectors.mounts import read_usage
from exporter.collectors.runner import FAMILIES, Runner
from exporter.kernel import KernelFiles
from tests.support.hosts import collectors_of, scrape
from tests.support.peer import Hostwatch, NodeExporter, families_in

# within these a gauge is met at a quiet moment, whatever else runs on the machine
ROUNDS_SECONDS = 30
# the kernel lets idle and iowait fall a little (Documentation/filesystems/proc.rst, iowait), and each exporter holds
# the highest value that it saw itself
JITTER_SECONDS = 0.05
OWN = {family.name for family in FAMILIES}

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def values_in(page: bytes) -> Values:
    """Return value by name and labels."""
    out: Values = {}
    for line in page.decode().splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            assert match, line
            out[match[1], frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))] = float(match[3])
    return out


def is_ours(name: str) -> bool:
    return name.startswith("node_") and name not in OWN


@pytest.fixture(scope="module")
def exporters() -> Iterator[tuple[NodeExporter, Hostwatch]]:
    with NodeExporter() as theirs, Hostwatch() as ours:
        yield theirs, ours


pytestmark = [pytest.mark.needs("linux"), pytest.mark.slow]


@pytest.mark.needs("node_exporter")
def test_families_have_node_exporters_types(exporters: tuple[NodeExporter, Hostwatch]) -> None:
    theirs, ours = (families_in(exporter.page()) for exporter in exporters)
    mine = {name: kind for name, kind in ours.items() if is_ours(name)}
    assert len(mine) > 70
    assert {name: theirs.get(name) for name in mine} == mine


@pytest.mark.needs("node_exporter")
def test_every_live_node_family_is_declared(exporters: tuple[NodeExporter, Hostwatch]) -> None:
    declared = {family.name for row in COLLECTORS for family in row.kind.families}
    live = {name for name in families_in(exporters[1].page()) if is_ours(name)}
    assert {name for name in live - declared if not name.startswith("node_memory_")} == set()


@pytest.mark.needs("node_exporter")
def test_label_sets_are_node_exporters(exporters: tuple[NodeExporter, Hostwatch]) -> None:
    theirs, ours = exporters
    deadline = time.monotonic() + ROUNDS_SECONDS
    while True:  # somebody may mount or plug just now
        mine = {key for key in values_in(ours.page()) if is_ours(key[0])}
        names = {name for name, _ in mine}
        other = {key for key in values_in(theirs.page()) if key[0] in names}
        if mine == other or time.monotonic() > deadline:
            break
    assert mine == other


def compare(read: Callable[[], Values], ours: Callable[[], Values], counters: set[str]) -> tuple[list[str], set[str]]:
    """Return the counters that were out of range in some round, and the values that were never met."""
    wrong: list[str] = []
    open_keys: set[tuple[str, frozenset[tuple[str, str]]]] | None = None
    deadline = time.monotonic() + ROUNDS_SECONDS
    while open_keys is None or (open_keys and not wrong and time.monotonic() < deadline):
        before, mine, after = read(), ours(), read()
        common = before.keys() & mine.keys() & after.keys()
        open_keys = set(common) if open_keys is None else open_keys
        for key in common:
            low, high = sorted((before[key], after[key]))
            if low <= mine[key] <= high:
                open_keys.discard(key)
            slack = JITTER_SECONDS if {("mode", "idle"), ("mode", "iowait")} & key[1] else 1e-9
            if key[0] in counters and not low - slack <= mine[key] <= high + slack:
                wrong.append(f"{key}: {before[key]!r} {mine[key]!r} {after[key]!r}")
    return wrong, {name for name, _ in open_keys}


@pytest.mark.needs("node_exporter")
def test_values_are_node_exporters_or_between_two_of_its_scrapes(exporters: tuple[NodeExporter, Hostwatch]) -> None:
    theirs, ours = exporters
    counters = {name for name, kind in families_in(ours.page()).items() if kind == "counter"}

    def mine() -> Values:
        return {key: value for key, value in values_in(ours.page()).items() if is_ours(key[0])}

    wrong, never = compare(lambda: values_in(theirs.page()), mine, counters)
    assert not wrong
    assert not never


def labels(**pairs: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairs.items())


def psutil_values() -> Values:
    """What psutil reads of the same kernel, under our names."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    # the C library has more digits; the kernel's file rounds so (fs/proc/loadavg.c, FIXED_1/200)
    load = [math.floor((value + 10 / 2048) * 100) / 100 for value in os.getloadavg()]
    out: Values = {
        ("node_memory_MemTotal_bytes", labels()): memory.total,
        ("node_memory_MemFree_bytes", labels()): memory.free,
        ("node_memory_MemAvailable_bytes", labels()): memory.available,
        ("node_memory_Buffers_bytes", labels()): memory.buffers,
        ("node_memory_SwapTotal_bytes", labels()): swap.total,
        ("node_memory_SwapFree_bytes", labels()): swap.free,
        ("node_boot_time_seconds", labels()): int(psutil.boot_time()),
        ("node_context_switches_total", labels()): psutil.cpu_stats().ctx_switches,
        ("node_intr_total", labels()): psutil.cpu_stats().interrupts,
        **{(f"node_load{n}", labels()): value for n, value in zip((1, 5, 15), load, strict=True)},
    }
    for core, times in enumerate(psutil.cpu_times(percpu=True)):
        for mode in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"):
            out["node_cpu_seconds_total", labels(cpu=str(core), mode=mode)] = getattr(times, mode)
    for device, io in psutil.net_io_counters(pernic=True).items():
        fields = ("bytes_recv", "packets_recv", "errin", "dropin", "bytes_sent", "packets_sent", "errout", "dropout")
        names = ("receive_bytes", "receive_packets", "receive_errs", "receive_drop")
        names += ("transmit_bytes", "transmit_packets", "transmit_errs", "transmit_drop")
        for name, field in zip(names, fields, strict=True):
            out[f"node_network_{name}_total", labels(device=device)] = getattr(io, field)
    for part in psutil.disk_partitions():
        usage = psutil.disk_usage(part.mountpoint)
        key = labels(device=part.device, fstype=part.fstype, mountpoint=part.mountpoint)
        out["node_filesystem_size_bytes", key] = (
            os.statvfs(part.mountpoint).f_blocks * os.statvfs(part.mountpoint).f_frsize
        )
        out["node_filesystem_avail_bytes", key] = usage.free
    return out


def test_values_are_psutils_or_between_two_of_its_readings() -> None:
    files = KernelFiles()
    runner = Runner(collectors_of(files, read_usage), files, 10)
    counters = {family.name for row in COLLECTORS for family in row.kind.families if family.kind == "counter"}
    assert psutil_values().keys() & values_in(scrape(runner)).keys() >= {("node_load1", labels())}
    wrong, never = compare(psutil_values, lambda: values_in(scrape(runner)), counters)
    assert not wrong
    assert not never
