"""The whole page of each recorded host, byte for byte."""

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.collectors.runner import FAMILIES
from tests.support.hosts import NAMES, WHOLE, collectors_of, files_of, page_of
from tests.support.peer import NodeExporter

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


@pytest.mark.parametrize("host", WHOLE)
def test_every_collector_works_on_a_whole_host(host: str) -> None:
    page = (GOLDEN / f"{host}.prom").read_text()
    success = re.findall(r'^node_scrape_collector_success\{collector="(\w+)"\} (\d)$', page, re.MULTILINE)
    assert set(success) == {(c.name, "1") for c in collectors_of(files_of(host))}


def test_broken_host_keeps_what_needs_none_of_its_files() -> None:
    page = (GOLDEN / "broken.prom").read_text()
    success = dict(re.findall(r'^node_scrape_collector_success\{collector="(\w+)"\} (\d)$', page, re.MULTILINE))
    assert {name for name, value in success.items() if value == "1"} == {"exporter", "usage"}
    foreign = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if line.startswith("node_")}
    assert foreign == {family.name for family in FAMILIES}


def _complaints(page: bytes) -> set[str]:
    """Return what `promtool check metrics` says of a page, a line each."""
    run = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False, timeout=60)
    return {line for line in (run.stdout + run.stderr).decode().splitlines() if line.strip()}


@pytest.mark.needs("prometheus")
@pytest.mark.needs("node_exporter")
def test_promtool_finds_nothing_but_what_it_finds_in_node_exporters_own_page() -> None:
    with NodeExporter() as peer:
        theirs = _complaints(peer.page())
    for host in NAMES:
        mine = _complaints((GOLDEN / f"{host}.prom").read_bytes())
        assert not [line for line in mine if "host_" in line], host
        # a field of another kernel gets the same complaint as its neighbours: compare what is said, not of which field
        said = {re.sub(r"node_memory_\w+", "node_memory_*", line) for line in theirs}
        assert {re.sub(r"node_memory_\w+", "node_memory_*", line) for line in mine} <= said, host
