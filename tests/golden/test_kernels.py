"""How many kernels' files stand behind the golden pages: at least three for each collector, and broken ones."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from exporter.collector import NoData
from exporter.collectors import COLLECTORS
from exporter.exposition import Family
from exporter.kernel import KernelError
from tests.support.hosts import HOSTS, WHOLE, collectors_of, files_of
from tests.support.kernel import collect
from tests.support.subjects import NO_KERNEL_FILES, PARTS, SUBJECTS
from tests.support.trees import TREES

GOLDEN = Path(__file__).parent
FEWEST = 3
# they end with the version of the kernel, but for a word behind it
VERSION = re.compile(r"(?:.*-)?(\d+\.\d+(?:\.\d+)?)(?:-[a-z]+)*")
FAMILIES = {
    row.kind.name: row.kind.families
    for row in COLLECTORS
    if any(family.name.startswith("node_") for family in row.kind.families)
}


def kernel_of(tree: str) -> str | None:
    """Return the version of the kernel that a tree is named after."""
    match = VERSION.fullmatch(tree)
    return match[1] if match else None


def has_rows(page: Path, families: Sequence[Family]) -> bool:
    """Return whether a page has a sample of one of the families."""
    names = {family.name for family in families}
    return any(re.split("[{ ]", line)[0] in names for line in page.read_text().splitlines() if line[:1] != "#")


def pages_of(collector: str) -> Iterator[tuple[str, Path]]:
    """Yield the golden pages that could have rows of a collector: the name of the tree, and the page."""
    for host in WHOLE:
        yield host, GOLDEN / f"{host}.prom"
    for folder in (collector, *(part for part, whole in PARTS.items() if whole == collector)):
        for page in sorted((TREES / folder).glob("*/page.prom")):
            yield page.parent.name, page


def kernels_behind(collector: str) -> set[str]:
    """Return the versions of the kernels whose trees give rows of a collector on a golden page."""
    trees = [tree for tree, page in pages_of(collector) if has_rows(page, FAMILIES[collector])]
    return {kernel for tree in trees if (kernel := kernel_of(tree)) is not None}


def test_each_node_collector_has_golden_rows_of_three_kernels() -> None:
    kernels = {name: kernels_behind(name) for name in FAMILIES if name not in NO_KERNEL_FILES}
    few = {name: sorted(found) for name, found in kernels.items() if len(found) < FEWEST}
    exempt = "\n".join(f"  {name}: {reason}" for name, reason in NO_KERNEL_FILES.items())
    assert not few, f"fewer than {FEWEST} kernels: {few}; none is asked of\n{exempt}"


def test_each_tree_is_named_after_its_kernel() -> None:
    names = [tree.name for name, subject in SUBJECTS.items() if name not in NO_KERNEL_FILES for tree in subject.trees]
    assert not [name for name in names if kernel_of(name) is None]


def test_every_node_collector_is_a_subject_or_has_a_reason_not_to_be() -> None:
    assert FAMILIES.keys() <= SUBJECTS.keys() | NO_KERNEL_FILES.keys()
    assert NO_KERNEL_FILES.keys() <= FAMILIES.keys()


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in {"systemd", "textfile", "timex"}])
def test_broken_host_has_files_of_each_collector_and_gives_none_of_its_rows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = HOSTS / "broken"
    found = []
    real = os.open

    def open_and_note(path: str, *rest: int) -> int:
        if Path(os.fsdecode(path)).is_relative_to(root) and os.path.lexists(path):
            found.append(path)
        return real(path, *rest)

    monkeypatch.setattr(os, "open", open_and_note)
    collector = next(c for c in collectors_of(files_of("broken"), root=root) if c.name == name)
    with contextlib.suppress(KernelError, NoData):  # what it has to say of a broken file
        assert collect(collector) == b""
    assert found, f"tests/fixtures/hosts/broken has nothing that {name} reads"
