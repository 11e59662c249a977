"""The whole page of each recorded host, byte for byte."""

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.collectors import COLLECTORS
from exporter.collectors.runner import FAMILIES
from tests.support.hosts import HOSTS, NAMES, WHOLE, collectors_of, files_of, page_of
from tests.support.parity import NodeExporter15

GOLDEN = Path(__file__).parent


@pytest.mark.parametrize("host", NAMES)
def test_page_of_a_recorded_host_is_the_golden_one(host: str, rewrite_golden: bool) -> None:
    page = page_of(host)
    golden = GOLDEN / f"{host}.prom"
    if rewrite_golden:
        golden.write_bytes(page)
    assert page.decode().splitlines() == golden.read_text().splitlines()
    assert page == golden.read_bytes()


@pytest.mark.parametrize("host", NAMES)
def test_page_of_a_recorded_host_does_not_change_from_one_scrape_to_the_next(host: str) -> None:
    assert page_of(host) == page_of(host)


def test_every_golden_page_has_its_host() -> None:
    assert {path.stem for path in GOLDEN.glob("*.prom")} == set(NAMES)


@pytest.mark.parametrize("host", NAMES)
def test_golden_page_has_no_sample_twice_and_each_family_once(host: str) -> None:
    families = list(text_string_to_metric_families((GOLDEN / f"{host}.prom").read_text()))
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    samples = [(s.name, tuple(sorted(s.labels.items()))) for family in families for s in family.samples]
    assert len(set(samples)) == len(samples)


# what no recorded host but the server has, which in turn has no battery
_HARDWARE = {"bonding", "containers", "dmi", "hwmon", "nvme", "rapl", "watchdog"}
# processes come and go too fast to be recorded with a tree: tests/unit/processes has trees of its own
_NOT_RECORDED = {"process_groups"}
ABSENT = {
    # no wireguard or firewall that tracks; PSI is younger; Raspberry Pi OS is built without schedstats
    "armv7-no-swap-4.19": {*_HARDWARE, "conntrack", "mdadm", "powersupplyclass", "pressure", "schedstat", "systemd"},
    # PSI is younger; an UPS is there
    "centos7-3.10": {*_HARDWARE, "mdadm", "pressure", "systemd"},
    # a container has no bus, and what is in /proc it shares with its machine
    "container-5.15": {*_HARDWARE, "powersupplyclass", "systemd"},
    # its kernel has no md, no schedstats and no hardware but virtio's; nobody runs systemd
    "debian12-vm-6.18": {*_HARDWARE, "mdadm", "powersupplyclass", "schedstat", "systemd"},
    "server-64-cores-6.1": {"powersupplyclass"},
}


@pytest.mark.parametrize("host", WHOLE)
def test_every_collector_works_on_a_whole_host_but_for_what_it_has_not(host: str) -> None:
    page = (GOLDEN / f"{host}.prom").read_text()
    success = re.findall(r'^node_scrape_collector_success\{collector="(\w+)"\} (\d)$', page, re.MULTILINE)
    names = {collector.name for collector in collectors_of(files_of(host))}
    assert set(success) == {(name, "0" if name in ABSENT[host] | _NOT_RECORDED else "1") for name in names}


# system calls and what we know ourselves
NEEDS_NO_FILE = {"exporter", "textfile", "timex", "usage"}
# a sensor or controller that has no answer is left out, and that is no failure
LEAVES_OUT = {"hwmon", "nvme"}


def test_broken_host_keeps_what_needs_none_of_its_files() -> None:
    page = (GOLDEN / "broken.prom").read_text()
    success = dict(re.findall(r'^node_scrape_collector_success\{collector="(\w+)"\} (\d)$', page, re.MULTILINE))
    assert {name for name, value in success.items() if value == "1"} == {*NEEDS_NO_FILE, *LEAVES_OUT}
    rows = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if line.startswith(("node_", "process_"))}
    assert rows <= {
        family.name
        for families in (FAMILIES, *(row.kind.families for row in COLLECTORS if row.kind.name in NEEDS_NO_FILE))
        for family in families
    }


def _complaints(page: bytes) -> set[str]:
    """Return what `promtool check metrics` says of a page, a line each."""
    run = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False, timeout=60)
    return {line for line in (run.stdout + run.stderr).decode().splitlines() if line.strip()}


# our systemd has this name and type from node_exporter, and the recorded host's bus is nobody's but ours
FROM_THE_BUS = 'node_systemd_socket_refused_connections_total non-counter metrics should not have "_total" suffix'


@pytest.mark.needs("prometheus", "node_exporter")
@pytest.mark.parametrize("host", WHOLE)
def test_promtool_finds_nothing_but_what_it_finds_in_node_exporters_page_of_that_host(host: str) -> None:
    trees = (f"--path.procfs={HOSTS / host}/proc", f"--path.sysfs={HOSTS / host}/sys")
    with NodeExporter15(*trees, f"--path.udev.data={HOSTS / host}/udev") as peer:
        theirs = _complaints(peer.page())
    mine = _complaints((GOLDEN / f"{host}.prom").read_bytes())
    assert not [line for line in mine if "host_" in line or "process_" in line]
    assert _without_fields(mine - {FROM_THE_BUS}) <= _without_fields(theirs)


def _without_fields(complaints: set[str]) -> set[str]:
    """Return what is said, not of which field: one that only 1.9 exposes is called as its neighbours are."""
    return {re.sub(r"node_netstat_\w+", "node_netstat_*", line) for line in complaints}


@pytest.mark.needs("prometheus")
def test_promtool_finds_nothing_in_the_broken_hosts_page() -> None:
    assert not _complaints((GOLDEN / "broken.prom").read_bytes())
