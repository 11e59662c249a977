"""Sizes as bcache writes them; the rest is in test_machines."""

from pathlib import Path

import pytest

from exporter.collectors.bcache import Bcache, parse_size
from exporter.kernel import KernelFiles
from tests.support.kernel import collect
from tests.support.trees import series


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (b"0", 0), (b"512", 512), (b"1.5G", 1598029824), (b"427.5k", 437748), (b"321.5k/sec", 329204),
        (b"-1.0k", -1024), (b"20M", 20 * 1024**2), (b"1.10k", 2024), (b"", None), (b"1.55k", None), (b"k", None),
        (b"1,5k", None), (b"1 k", None), (b"nan", None),
    ],
)  # fmt: skip
def test_size(text: bytes, size: int | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("rate", "expected"),
    [("rate:\t\t1024\nchange:\t\t-12\n", (524288, -6144)), ("rate:\t\t1.0M/sec\nchange:\t\t-12/sec\n", (1048576, -12))],
    ids=["sectors of Linux 3.13", "bytes since"],
)
def test_rate_of_writing_back_is_in_bytes(rate: str, expected: tuple[int, int], tmp_path: Path) -> None:
    folder = tmp_path / "fs/bcache/7d0f2f64-39f1-4c9d-a2e5-14c2b6b0a311/bdev0"
    folder.mkdir(parents=True)
    (folder / "writeback_rate_debug").write_text(rate)
    found = {name: value for (name, _), value in series(collect(Bcache(KernelFiles(sys=tmp_path)))).items()}
    assert (found["node_bcache_writeback_rate"], found["node_bcache_writeback_change"]) == expected
