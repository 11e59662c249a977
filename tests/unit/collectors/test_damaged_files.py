"""Every collector of kernel files on damaged ones: it fails with a KernelError, or its numbers stand in the files.

Never another exception, and never a text that is none of the text format.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.collector import NoData
from exporter.kernel import KernelError, KernelFiles
from tests.support.damage import damaged, numbers_in
from tests.support.effort import tries
from tests.support.kernel import collect, rows_of
from tests.support.subjects import SUBJECTS, Subject
from tests.support.trees import series, workplace

PLACES = ("proc", "sys", "etc", "udev", "usr")


def files_in(tree: Path) -> Iterator[Path]:
    """Yield the files of a tree that hold something, each once: not the ways to it over symbolic links."""
    for place in PLACES:
        for path in sorted((tree / place).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                yield path


def numbers_of(page: bytes) -> set[tuple[str, float]]:
    """Return the values of each family; a word cut short is another label, and no other number."""
    return {(name, float(value)) for (name, _), value in series(page).items()}


class Bench:
    """A copy of one tree, of which a file at a time is damaged."""

    def __init__(self, subject: Subject, tree: Path, folder: Path) -> None:
        self.subject = subject
        self.folder = folder
        if subject.file is None:
            shutil.copytree(tree, folder, symlinks=True)
        else:
            (folder / subject.file).parent.mkdir(parents=True)
            shutil.copy(tree / subject.file, folder / subject.file)
        self.contents = {path: path.read_bytes() for path in files_in(folder)}
        self.good = self.collect()
        lone = {float(text) for text in self.contents.values() if text.strip().isdigit()}
        self.values = lone | set(series(self.good or b"").values())
        self.numbers = numbers_of(self.good or b"")

    def collect(self) -> bytes | None:
        """Return a new collector's text, None where it says that a file is bad or that there is nothing."""
        files = KernelFiles(self.folder / "proc", self.folder / "sys")
        try:
            return collect(self.subject.make(files, self.folder))
        except (KernelError, NoData):
            return None

    def collect_with(self, file: Path, text: bytes) -> bytes | None:
        """Return what the collector makes of another text in a file, which then is as before; None as above."""
        file.write_bytes(text)
        try:
            return self.collect()
        finally:
            file.write_bytes(self.contents[file])

    def check_cut(self, file: Path, end: int) -> None:
        """Cut a file short: every number must be one of the whole file's, in the same family."""
        text = self.contents[file][:end]
        page = self.collect_with(file, text)
        if page is None or (self.subject.counts and text[-1:] in {b"", b"\n"}):
            return  # a file that lacks whole lines makes another sum, and nothing in it tells
        assert numbers_of(page) <= self.numbers, f"{file.relative_to(self.folder)}: {text[-80:]!r}"

    def check(self, file: Path, text: bytes) -> None:
        """Put that text into a file; what the collector makes of it must stand in its files."""
        page = self.collect_with(file, text)
        if page is None or page == self.good:
            return
        found = series(page)  # the parser refuses what is no text format, and a row that is there twice
        if self.subject.rows is not None:
            assert rows_of(page) <= set(self.subject.rows(text))
        elif not self.subject.counts:
            strange = set(map(float, found.values())) - self.values
            assert strange <= numbers_in(text), f"{file.relative_to(self.folder)}: {text[:200]!r}"


class Workshop:
    """The benches that a run has set up so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._benches: dict[tuple[str, Path], Bench] = {}

    def draw(self, name: str, data: st.DataObject) -> tuple[Bench, Path]:
        """Return the bench of one of a subject's trees, and one of its files."""
        tree = data.draw(st.sampled_from([tree for tree in SUBJECTS[name].trees if any(files_in(tree))]))
        if (name, tree) not in self._benches:
            self._benches[name, tree] = Bench(SUBJECTS[name], tree, self._folder / name / tree.name)
        bench = self._benches[name, tree]
        return bench, data.draw(st.sampled_from(sorted(bench.contents)))


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with workplace() as folder:
        yield Workshop(folder)


# what is cut looks whole: numbers of selinuxfs have no newline at their end, and os-release may have none
UNENDED = {"os", "selinux"}


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name not in UNENDED])
@settings(max_examples=tries(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_file_cut_short_is_an_error_or_gives_numbers_of_the_whole_file(
    name: str, workshop: Workshop, data: st.DataObject
) -> None:
    bench, file = workshop.draw(name, data)
    bench.check_cut(file, data.draw(st.integers(0, len(bench.contents[file]) - 1)))


@pytest.mark.parametrize("name", SUBJECTS)
@settings(max_examples=tries(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_file_is_an_error_or_gives_what_stands_in_it(
    name: str, workshop: Workshop, data: st.DataObject
) -> None:
    bench, file = workshop.draw(name, data)
    bench.check(file, data.draw(st.one_of(damaged(bench.contents[file]), st.binary(max_size=300))))
