"""The collectors of single kernel files on recorded trees: golden text, files cut short, long lives.

Whatever a collector read before, the next scrape gives the text that a new one would give.
"""

import random
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.collector import NoData
from exporter.exposition import Family
from exporter.kernel import KernelError
from tests.support.damage import SENSELESS, live_long
from tests.support.hosts import NOWHERE
from tests.support.kernel import Rows, collect, rows_of
from tests.support.kernel_trees import ALL, MAKE, Tree, on
from tests.support.trees import check_golden

TREE = pytest.mark.parametrize("tree", ALL, ids=str)
NAME = pytest.mark.parametrize("name", MAKE)

# their values are sums over lines: a file that lacks whole lines gives another sum, and nothing in it tells
SUMS = {"arp", "conntrack", "udp_queues"}


def trees_of(name: str) -> list[Tree]:
    return [tree for tree in ALL if tree.collector == name]


def declared(tree: Tree) -> tuple[Family, ...]:
    return tree.make().families


def try_collect(name: str, contents: dict[str, bytes]) -> Rows | None:
    """Return a new collector's rows, None where it says that a file is bad or that there is nothing."""
    try:
        return rows_of(collect(on(name, contents)[1]))
    except (KernelError, NoData):
        return None


@TREE
def test_recorded_tree_gives_its_golden_text(tree: Tree, rewrite_golden: bool) -> None:
    check_golden(tree.folder / "page.prom", collect(tree.make()), rewrite=rewrite_golden)


@TREE
def test_text_is_of_declared_families_and_reads_back(tree: Tree) -> None:
    text = collect(tree.make()).decode()
    families = {family.name: family for family in declared(tree)}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            known = families[sample.name]
            assert tuple(sample.labels) == known.labels
            assert known.kind == {"unknown": "untyped"}.get(family.type, family.type)


@TREE
def test_second_scrape_of_the_same_files_gives_the_same_text(tree: Tree) -> None:
    collector = tree.make()
    assert collect(collector) == collect(collector)


@TREE
def test_every_beginning_of_a_file_gives_rows_of_the_whole_file_or_an_error(tree: Tree) -> None:
    whole = tree.contents()
    good = try_collect(tree.collector, whole)
    assert good is not None
    for name, text in whole.items():
        ends = range(len(text)) if len(text) < 1500 else random.Random(7).sample(range(len(text)), 300)
        for end in ends:
            rows = try_collect(tree.collector, whole | {name: text[:end]})
            if rows is not None and not (tree.collector in SUMS and text[:end].endswith(b"\n")):
                assert rows <= good, text[max(end - 80, 0) : end]


@NAME
@pytest.mark.parametrize("text", SENSELESS, ids=repr)
def test_empty_or_senseless_file_gives_no_rows(name: str, text: bytes) -> None:
    for tree in trees_of(name):
        whole = tree.contents()
        for file in whole:
            assert try_collect(name, whole | {file: text}) is None


@NAME
def test_error_names_the_file(name: str) -> None:
    for tree in trees_of(name):
        whole = tree.contents()
        for file in whole:
            with pytest.raises(KernelError, match=re.escape(file)):
                collect(on(name, whole | {file: b"garbage\n"})[1])


@NAME
def test_machine_without_any_of_the_files_has_no_rows(name: str) -> None:
    assert try_collect(name, {}) is None


@NAME
def test_whatever_was_read_before_the_text_is_a_new_collectors_text(name: str) -> None:
    live_long(lambda files: MAKE[name](files, NOWHERE), [tree.contents() for tree in trees_of(name)])
