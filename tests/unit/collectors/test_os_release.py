"""os-release: read as a shell reads it, refused where a shell would; the row follows the file."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector import NoData
from exporter.collectors.os_release import MAX_BYTES, OsRelease, parse_os_release, render
from exporter.kernel import KernelError
from tests.support.kernel import collect
from tests.support.trees import TREES, OneCollector, cases, check_golden, series

CASES = pytest.mark.parametrize("case", cases("os"), ids=lambda case: case.name)


@CASES
def test_page_is_the_recorded_one(case: Path, rewrite_golden: bool) -> None:
    check_golden(case / "page.prom", collect(OsRelease(case)), rewrite=rewrite_golden)


@CASES
@pytest.mark.needs("node_exporter")
def test_rows_are_node_exporters(case: Path) -> None:
    with OneCollector("os", f"--path.rootfs={case}") as peer:
        theirs = series(peer.page(), "node_os")
    ours = series(collect(OsRelease(case)))
    assert theirs
    assert {key: value for key, value in ours.items() if "support_end" not in key[0] or key in theirs} == theirs


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("A=plain words  ", "plain words"),
        ("A=plain # comment", "plain"),
        ('A="double # no comment"', "double # no comment"),
        ('A="a \\"b\\" \\\\ \\$c"', 'a "b" \\ $c'),
        ("A='single \\n'", "single \\n"),
        ('A="" # empty', ""),
        ("A=", ""),
        ("export A=b", "b"),
        ("  A=b\r", "b"),
    ],
)
def test_values_are_read_as_a_shell_does(line: str, value: str) -> None:
    assert parse_os_release(f"{line}\n".encode(), "f") == {"A": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "f: expected NAME=value, got an empty file"),
        (b"# only\n\n", "f: expected NAME=value, got an empty file"),
        (b"A=1\ngarbage\n", "f, line 2: expected NAME=value, got 'garbage'"),
        (b'A="cut', "f, line 1: expected NAME=value"),
        (b"A='cut\n", "f, line 1: expected NAME=value"),
        (b'A="b" c\n', "f, line 1: expected NAME=value"),
        (b"1A=b\n", "f, line 1: expected NAME=value"),
        (b"A=\xff\n", "f: expected UTF-8"),
    ],
)
def test_what_is_no_assignment_is_refused_with_file_and_line(text: bytes, said: str) -> None:
    with pytest.raises(KernelError, match=said):
        parse_os_release(text, "f")


@given(st.binary(max_size=200))
def test_garbage_is_read_or_refused(text: bytes) -> None:
    try:
        rows = series(render(parse_os_release(text, "f")))
    except KernelError:
        return
    assert rows


@pytest.mark.parametrize(
    ("version_id", "expected"),
    [("12", 12), ("22.04", 22.04), ("8.10.3", 8.1), ("9.", 9), ("rolling", None), ("", None), ("0", None)],
)
def test_version_is_major_and_minor_where_it_is_a_number(version_id: str, expected: float | None) -> None:
    rows = series(render({"VERSION_ID": version_id}), "node_os_version")
    assert list(rows.values()) == ([] if expected is None else [expected])


@pytest.mark.parametrize("text", ["soon", "2024-13-01", "2024-1-1", "20240101"])
def test_support_end_that_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(KernelError, match="SUPPORT_END"):
        render({"ID": "x", "SUPPORT_END": text})


def test_no_file_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(NoData):
        collect(OsRelease(tmp_path))


def test_file_that_comes_changes_and_goes_is_followed(tmp_path: Path) -> None:
    shutil.copytree(TREES / "os/only-usr-lib/usr", tmp_path / "usr")
    collector = OsRelease(tmp_path)
    assert b'id="rolling"' in collect(collector)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=one\n")
    assert b'id="one"' in collect(collector)
    (tmp_path / "etc/os-release").write_text("ID=three\n")
    assert b'id="three"' in collect(collector)
    (tmp_path / "etc/os-release").unlink()
    assert b'id="rolling"' in collect(collector)


def test_oversized_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(KernelError, match="over 65536 bytes"):
        collect(OsRelease(tmp_path))
