"""The collectors of single kernel files on recorded trees: golden text, damage of every kind, long lives, an oracle.

On damaged files each either fails with a KernelError, or gives values that stand in the file; and whatever it read
before, the next scrape gives the text that a new collector would give.
"""

import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from prometheus_client.parser import text_string_to_metric_families

from exporter.collector import NoData
from exporter.exposition import Family
from exporter.kernel import KernelError
from tests.support.effort import tries
from tests.support.kernel import Rows, collect, rows_of
from tests.support.kernel_trees import ALL, MAKE, Tree, on
from tests.support.peer import families_in
from tests.support.trees import OneCollector, Series, check_golden, series

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
@pytest.mark.parametrize(
    "text", [b"", b"\n", b"\0", b"\n\n\n", b" ", b"0", b"\xff\xfe", b"a b\n", bytes(1000)], ids=repr
)
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


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """A file of the kernel with a few bits flipped, pieces cut out, doubled, moved or put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(text) - 1, 0)))
        end = min(start + draw(st.integers(1, 120)), len(text))
        match draw(st.sampled_from(("flip", "cut", "double", "move", "insert", "line"))):
            case "flip" if text:
                text = text[:start] + bytes([text[start] ^ 1 << draw(st.integers(0, 7))]) + text[start + 1 :]
            case "cut":
                text = text[:start] + text[end:]
            case "double":
                text = text[:end] + text[start:]
            case "move":
                text = text[:start] + text[end:] + text[start:end]
            case "insert":
                text = text[:start] + draw(st.binary(max_size=8)) + text[start:]
            case "line":
                lines = text.split(b"\n")
                lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
                text = b"\n".join(lines)
    return text


def values_in(contents: dict[str, bytes]) -> set[float]:
    """Return every number that words of the files can stand for, in any unit of ours."""
    words = {word for text in contents.values() for word in re.findall(rb"-?[0-9]+", text)}
    numbers = {int(word) for word in words}
    hexadecimal = {int(word, 16) for text in contents.values() for word in re.findall(rb"[0-9a-f]{8}", text)}
    scaled = {value * factor for value in numbers for factor in (512, 4096)}
    seconds = {value / unit for value in numbers for unit in (1e3, 1e6, 1e9)}
    return {1.0, *map(float, numbers), *map(float, hexadecimal), *map(float, scaled), *seconds}


@NAME
@settings(max_examples=tries(120), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_file_gives_values_that_stand_in_it_or_an_error(name: str, data: st.DataObject) -> None:
    contents = data.draw(st.sampled_from(trees_of(name))).contents()
    file = data.draw(st.sampled_from(sorted(contents)))
    contents[file] = data.draw(damaged(contents[file]))
    rows = try_collect(name, contents)
    if rows is not None and name not in SUMS:
        assert {value for _, value in rows} <= values_in(contents)


@NAME
@settings(max_examples=tries(60), deadline=None)
@given(data=st.data())
def test_garbage_gives_values_that_stand_in_it_or_an_error(name: str, data: st.DataObject) -> None:
    contents = trees_of(name)[0].contents()
    contents[data.draw(st.sampled_from(sorted(contents)))] = data.draw(st.binary(max_size=300))
    rows = try_collect(name, contents)
    if rows is not None and name not in SUMS:
        assert {value for _, value in rows} <= values_in(contents)


class LongLife(RuleBasedStateMachine):
    """One collector that lives through a sequence of trees, beside a new one for each of them."""

    name = ""

    @initialize()
    def start(self) -> None:
        self.files, self.collector = on(self.name, {})

    def scrape(self, contents: dict[str, bytes]) -> None:
        self.files.contents.clear()
        self.files.contents.update(contents)
        try:
            wanted = collect(on(self.name, contents)[1])
        except (KernelError, NoData) as err:
            with pytest.raises(type(err)):
                collect(self.collector)
        else:
            assert collect(self.collector) == wanted

    @rule(data=st.data())
    def good_files(self, data: st.DataObject) -> None:
        self.scrape(data.draw(st.sampled_from(trees_of(self.name))).contents())

    @rule(data=st.data())
    def file_missing(self, data: st.DataObject) -> None:
        contents = data.draw(st.sampled_from(trees_of(self.name))).contents()
        del contents[data.draw(st.sampled_from(sorted(contents)))]
        self.scrape(contents)

    @rule(data=st.data())
    def lines_come_go_and_move(self, data: st.DataObject) -> None:
        contents = data.draw(st.sampled_from(trees_of(self.name))).contents()
        file = data.draw(st.sampled_from(sorted(contents)))
        lines = contents[file].splitlines(keepends=True)
        kept = data.draw(st.lists(st.sampled_from(lines), unique=True)) if lines else []
        self.scrape(contents | {file: b"".join(kept)})

    @rule(data=st.data())
    def damaged_file(self, data: st.DataObject) -> None:
        contents = data.draw(st.sampled_from(trees_of(self.name))).contents()
        file = data.draw(st.sampled_from(sorted(contents)))
        self.scrape(contents | {file: data.draw(damaged(contents[file]))})


@NAME
def test_whatever_was_read_before_the_text_is_a_new_collectors_text(name: str) -> None:
    machine = type(f"LongLife_{name}", (LongLife,), {"name": name})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=tries(30), stateful_step_count=15, deadline=None, suppress_health_check=checks),
    )


# ---- the oracle

# label of a CPU: 1.5 counts the lines, which is another number as soon as a core is off line; 1.9 has ours
COUNTS_LINES = {"softnet-server-6.1"}
# a serial number that 1.5 does not know of, 1.9 does
NEWER_SERIAL = {("node_disk_info", "sda")}
# flag of node_exporter to folder of a tree
PATHS = {"procfs": "proc", "sysfs": "sys", "udev.data": "udev"}


def without_rotational(found: dict[Series, float]) -> dict[Series, float]:
    """Return the samples without a label that 1.5 has not; 1.9 has it."""
    return {
        (name, frozenset(pair for pair in labels if pair[0] != "rotational")): v for (name, labels), v in found.items()
    }


@pytest.mark.slow
@pytest.mark.needs("node_exporter")
@pytest.mark.parametrize("tree", [tree for tree in ALL if str(tree) not in COUNTS_LINES], ids=str)
def test_each_sample_of_node_exporter_is_ours_too(tree: Tree) -> None:
    mine = collect(tree.make())
    paths = [f"--path.{kind}={tree.folder}/{name}" for kind, name in PATHS.items()]
    with OneCollector(tree.collector, *paths) as peer:
        page = peer.page()
    prefixes = {f"{family.name.split('_')[0]}_{family.name.split('_')[1]}_" for family in declared(tree)}
    theirs = {key: value for prefix in prefixes for key, value in series(page, prefix).items() if not is_newer(key)}
    ours = without_rotational(series(mine))
    assert bool(theirs) == bool(ours)
    assert theirs.keys() <= ours.keys()
    assert {key: ours[key] for key in theirs} == pytest.approx(theirs, rel=1e-12)
    kinds = families_in(mine)
    assert all(kinds[name] == kind for name, kind in families_in(page).items() if name in kinds)


def is_newer(key: Series) -> bool:
    name, labels = key
    return (name, dict(labels).get("device")) in NEWER_SERIAL
