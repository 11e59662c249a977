"""Variables are filled in as Grafana does, and a screenshot stays the same picture when it is made small."""

import struct
import zlib
from pathlib import Path

import pytest

from tests.support import dashboards, small_png


@pytest.mark.parametrize(
    ("expression", "filled"),
    [
        ('up{instance=~"$instance"}', 'up{instance=~"web-01"}'),
        ('up{instance=~"${instance}"}', 'up{instance=~"web-01"}'),
        ('up{instance=~"${instance:regex}"}', 'up{instance=~"web-01"}'),
        ("rate(x[$__rate_interval])", "rate(x[60000ms])"),
        ('label_replace(x, "a", "$1", "b", "(.*)")', 'label_replace(x, "a", "$1", "b", "(.*)")'),
    ],
    ids=["plain", "braces", "with a format", "Grafana's own", "a group of an expression is no variable"],
)
def test_variables_are_filled_in(expression: str, filled: str) -> None:
    values = {**dashboards.times(3600, 1000, 15), "instance": "web-01"}
    assert dashboards.filled(expression, values) == filled


def test_a_variable_without_a_value_is_named() -> None:
    with pytest.raises(KeyError, match="host"):
        dashboards.filled('up{instance="$host"}', {})


@pytest.mark.parametrize(
    ("seconds", "points", "rate"),
    [(3600, 1000, "60000ms"), (86400, 1000, "101400ms")],
    ids=["four scrapes at least", "a step and a scrape"],
)
def test_the_rate_interval_is_grafanas(seconds: float, points: int, rate: str) -> None:
    assert dashboards.times(seconds, points, 15)["__rate_interval"] == rate


@pytest.mark.parametrize(
    ("values", "text"),
    [(["a"], "a"), (["a", "b"], "(a|b)"), (["1.2", "x|y"], r"(1\\.2|x\\|y)")],
    ids=["one", "two", "what a regular expression means otherwise"],
)
def test_several_values_are_one_regular_expression(values: list[str], text: str) -> None:
    assert dashboards.chosen(values) == text


def png(rows: list[tuple[int, bytes]], width: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(bytes([kind]) + data for kind, data in rows))
    parts = [(b"IHDR", head), (b"IDAT", body[:5]), (b"IDAT", body[5:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def test_each_filter_of_png_is_undone(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    plain = bytes([255, 0, 51, 102, 153, 204])
    rows = [
        (0, plain),
        (1, bytes([255, 0, 51, 103, 153, 153])),  # what is left of it
        (2, bytes(6)),  # what is above it
        (3, bytes((value - mean) & 255 for value, mean in zip(plain, (127, 0, 25, 178, 76, 127), strict=True))),
        (4, bytes(6)),  # the nearest of its neighbours
    ]
    file.write_bytes(png(rows, 2))
    small_png.shrink(file)
    chunks = small_png._chunks(file.read_bytes())
    palette, pixels = chunks[b"PLTE"], zlib.decompress(chunks[b"IDAT"])
    found = [b"".join(palette[3 * at : 3 * at + 3] for at in pixels[row * 3 + 1 : row * 3 + 3]) for row in range(5)]
    assert found == [plain] * 5


def test_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(png([(0, bytes(6))], 2).replace(b"\x08\x02\x00\x00\x00", b"\x08\x06\x00\x00\x00", 1))
    with pytest.raises(ValueError, match="expected 8-bit RGB"):
        small_png.shrink(file)
