"""Recorded trees of single collectors, tests/fixtures/collectors/NAME/CASE/{proc,sys,etc}, each with a golden page."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from exporter.kernel import KernelFiles
from tests.support.peer import Exporter

TREES = Path(__file__).parents[1] / "fixtures/collectors"

_MEMORY: Final = Path("/dev/shm")

Series = tuple[str, frozenset[tuple[str, str]]]


def cases(name: str) -> list[Path]:
    """Return the folders of one collector's recorded trees."""
    return sorted(path for path in (TREES / name).iterdir() if path.is_dir())


def files_of(case: Path) -> KernelFiles:
    return KernelFiles(case / "proc", case / "sys")


@contextmanager
def workplace() -> Iterator[Path]:
    """Give a folder for copies of trees, in memory where there is such a place: some disks take ten times as long."""
    with tempfile.TemporaryDirectory(prefix="hostwatch-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        yield Path(folder)


def check_golden(path: Path, block: bytes, *, rewrite: bool) -> None:
    """Compare a page with the recorded one, byte for byte; or record it."""
    if rewrite:
        path.write_bytes(block)
    assert block.decode() == path.read_text()


def series(page: bytes, prefix: str = "") -> dict[Series, float]:
    """Return the samples of a page; a label without a value counts as absent."""
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if sample.name.startswith(prefix):
                labels = frozenset((name, value) for name, value in sample.labels.items() if value)
                assert (sample.name, labels) not in found
                found[sample.name, labels] = sample.value
    return found


class OneCollector(Exporter):
    """Debian's node_exporter with one collector, on the trees of `arguments`."""

    command = (
        "prometheus-node-exporter",
        "--web.listen-address=127.0.0.1:PORT",
        "--collector.disable-defaults",
    )

    def __init__(self, name: str, *arguments: str) -> None:
        super().__init__(f"--collector.{name}", *arguments)
