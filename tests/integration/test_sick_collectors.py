"""A collector that raises and one that never returns, each with 64 scrapers, in the real daemon."""

import signal
import sys

import pytest

from tests.support import sick_daemon
from tests.support.client import rows, scrape, until
from tests.support.exporter import exporter_running
from tests.support.scrapers import scrape_with

FAILED = b'node_scrape_collector_success{collector="sick"} 0\n'
OTHERS = (b"node_load1 ", b"node_cpu_seconds_total{", b"node_memory_MemTotal_bytes ", b"node_filesystem_size_bytes{")
MB = 1024 * 1024


@pytest.mark.measured
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["raises", "hangs"])
def test_a_sick_collector_costs_its_own_rows_only(kind: str) -> None:
    command = (sys.executable, "-m", sick_daemon.__name__, kind)
    with exporter_running(command=command) as child:
        first = rows(scrape(child.port, timeout=20))  # the one that hangs costs one scrape the collectors' time-out
        assert 'node_scrape_collector_duration_seconds{collector="sick"}' in first
        assert (first['node_scrape_collector_duration_seconds{collector="sick"}'] > 4) == (kind == "hangs")
        until(lambda: child.threads >= 2, "the sampler runs")
        scrape_with(64, child.port, 1, FAILED, *OTHERS)  # what 64 connections cost stays with the process
        threads, resident, files = child.threads, child.resident, child.open_files

        seen = scrape_with(64, child.port, 4, FAILED, *OTHERS, unwanted=b"host_sick_value")
        assert not seen.errors, seen.errors[:3]
        assert seen.pages > 64
        assert seen.slowest < 2
        assert child.threads <= threads
        assert child.resident - resident < 4 * MB
        until(lambda: child.open_files <= files, "the scrapers' connections are gone")

        failures = child.events("collector failed" if kind == "raises" else "collector takes too long")
        assert len(failures) == 1, "told once, not on each scrape"
        child.signal(signal.SIGTERM)
        assert child.wait(2) == 0
