"""Our parsers beside psutil, a reader of the same kernel that nobody of ours wrote."""

import math
import os

import psutil
import pytest

from exporter.collectors import COLLECTORS
from exporter.collectors.mounts import read_usage
from exporter.collectors.runner import Runner
from exporter.kernel import KernelFiles
from tests.support.hosts import collectors_of, scrape
from tests.support.parity import Round, Values, compare_values, values_in

# the collectors of what psutil tells
SUBJECTS = frozenset({"cpu", "filesystem", "loadavg", "meminfo", "netdev", "stat"})

pytestmark = [pytest.mark.needs("linux"), pytest.mark.slow]


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
        names: tuple[str, ...] = ("receive_bytes", "receive_packets", "receive_errs", "receive_drop")
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
    assert len(psutil_values().keys() & values_in(scrape(runner, names=SUBJECTS)).keys()) > 20

    def measure() -> Round:
        before, ours, after = psutil_values(), scrape(runner, names=SUBJECTS), psutil_values()
        return Round([before], values_in(ours), [after])

    wrong, never = compare_values(measure, counters)
    assert not wrong
    assert not never
