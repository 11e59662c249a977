"""Our page beside node_exporter's, both versions, on the running kernel: families, types, series and values."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.collectors import is_own_name
from tests.support.parity import (
    MOST_EXCEPTIONS,
    Comparison,
    Exceptions,
    Trio,
    compare_pages,
    compare_trio,
    running,
)
from tests.support.peer import families_in

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux", "node_exporter", "node_exporter-1.9")]


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    with running() as trio:
        yield trio


@pytest.fixture(scope="module")
def exceptions() -> Exceptions:
    return Exceptions.load()


@pytest.fixture(scope="module")
def comparison(trio: Trio, exceptions: Exceptions) -> Comparison:
    return compare_pages(trio, exceptions)


def test_every_family_and_series_is_node_exporters_but_for_the_written_exceptions(comparison: Comparison) -> None:
    for figure in comparison.figures:
        print(figure)
    assert not comparison.problems


def test_few_families_are_exceptions(comparison: Comparison) -> None:
    for figure in comparison.figures:
        assert figure.families > 200
        assert figure.families - figure.families_ours <= MOST_EXCEPTIONS * figure.families, figure


def test_values_are_node_exporters_or_between_two_of_its_scrapes(trio: Trio, exceptions: Exceptions) -> None:
    wrong, never = compare_trio(trio, exceptions)
    assert not wrong
    assert not never


def test_every_written_exception_is_needed(trio: Trio) -> None:
    exceptions = Exceptions.load()
    compare_pages(trio, exceptions)
    for page in (trio.ours.page(), *(exporter.page() for exporter in trio.theirs.values())):
        assert [name for name in families_in(page) if exceptions.allows("own_values", name)]
    assert not exceptions.idle


def test_every_live_node_family_is_declared(trio: Trio) -> None:
    assert not [name for name in families_in(trio.ours.page()) if not is_own_name(name)]


def complaints(page: bytes) -> set[str]:
    """Return what `promtool check metrics` says of a page, a line each."""
    run = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False, timeout=60)
    return {line for line in (run.stdout + run.stderr).decode().splitlines() if line.strip()}


@pytest.mark.needs("prometheus")
def test_promtool_says_of_our_live_page_only_what_it_says_of_node_exporters(trio: Trio) -> None:
    scrape = trio.scrape()
    theirs = set().union(*map(complaints, scrape.theirs.values()))
    mine = complaints(scrape.ours)
    assert mine
    assert not mine - theirs
    assert not [line for line in mine if "host_" in line]


@pytest.mark.needs("root", "ip")
def test_a_machine_with_more_in_it_has_the_same_rows_too(tmp_path: Path) -> None:
    own = ("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")
    command = [*own, sys.executable, "-m", "tests.support.furnished", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
