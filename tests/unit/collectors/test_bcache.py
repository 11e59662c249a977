"""Sizes as bcache writes them; the rest is in test_machines."""

import pytest

from exporter.collectors.bcache import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (b"0", 0), (b"512", 512), (b"1.5G", 1598029824), (b"427.5k", 437748), (b"321.5k/sec", 329204),
        (b"-1.0k", -1024), (b"20M", 20 * 1024**2), (b"", None), (b"1.55k", None), (b"k", None), (b"1,5k", None),
        (b"1 k", None), (b"nan", None),
    ],
)  # fmt: skip
def test_size(text: bytes, size: int | None) -> None:
    assert parse_size(text) == size
