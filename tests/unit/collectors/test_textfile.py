"""Textfiles: a bad one costs its own rows; several become one page; ours are never overwritten."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.collectors import textfile
from exporter.collectors.textfile import TextFiles
from tests.support.effort import tries
from tests.support.kernel import collect, rows_of
from tests.support.trees import TREES, OneCollector, check_golden, series

WRITTEN = 1_700_000_000


def make(*directories: object) -> TextFiles:
    return TextFiles([str(directory) for directory in directories], lambda name: name == "node_load1")


@pytest.fixture(params=["merged", "spoilt"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a recorded folder, with times that do not change."""
    folder = Path(shutil.copytree(TREES / "textfile" / request.param, tmp_path / request.param))
    for path in folder.iterdir():
        os.utime(path, (WRITTEN, WRITTEN + 0.9))
    return folder


def rows(collector: TextFiles, prefix: str = "") -> dict:
    return {(name, *labels): value for (name, labels), value in series(collect(collector), prefix).items()}


def error(collector: TextFiles) -> float:
    return rows(collector)[("node_textfile_scrape_error",)]


def test_page_is_the_recorded_one(case: Path, tmp_path: Path, rewrite_golden: bool) -> None:
    page = collect(make(case)).replace(str(tmp_path).encode(), b"/textfile")
    check_golden(TREES / "textfile" / f"{case.name}.page.prom", page, rewrite=rewrite_golden)


@pytest.mark.needs("node_exporter")
def test_rows_are_node_exporters(case: Path) -> None:
    with OneCollector("textfile", "--collector.loadavg", f"--collector.textfile.directory={case}") as peer:
        theirs = series(peer.page())
    own = ("go_", "process_", "promhttp_", "node_scrape_", "node_exporter_", "node_load")
    theirs = {key: value for key, value in theirs.items() if not key[0].startswith(own)}
    ours = series(collect(make(case)))
    assert ours.keys() == theirs.keys()
    assert {key: repr(float(ours[key])) for key in ours} == {key: repr(float(theirs[key])) for key in ours}


@pytest.mark.parametrize(
    "text",
    [b"cut 1", b"a{x=} 1\n", b"\xff\n", b"a 1 1\n", b"# TYPE a what\n"],
)
def test_bad_file_costs_its_own_rows_only(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "good.prom").write_bytes(b"good 1\n")
    (tmp_path / "bad.prom").write_bytes(b"lost 1\n" + text)
    found = rows(make(tmp_path))
    assert found[("good",)] == found[("node_textfile_scrape_error",)] == 1
    assert ("lost",) not in found
    assert [dict(key[1:])["file"] for key in found if key[0] == "node_textfile_mtime_seconds"] == [
        str(tmp_path / "good.prom")
    ]


@pytest.mark.parametrize(
    ("one", "other", "kept"),
    [
        ("# TYPE a gauge\na 1\n", '# TYPE a counter\na{x="1"} 2\n', 1),
        ("# HELP a One.\na 1\n", '# HELP a Two.\na{x="1"} 2\n', 1),
        ("a 1\n", "a 2\n", 1),
        ("a 1\na 2\n", "", 1),
        ("a 1\n", 'a{x=""} 2\n', 1),
        ("# TYPE a summary\na_sum 1\n", "a_sum 2\n", 1),
        ("# HELP a One.\na 1\n", '# HELP a One.\na{x="1"} 2\n', 2),
        ("a 1\n", '# HELP a One.\na{x="1"} 2\n', 2),
    ],
    ids=[
        "type",
        "help",
        "row twice",
        "row twice in one file",
        "row twice but for an empty label",
        "name of a row",
        "same help",
        "one help",
    ],
)
def test_of_two_files_that_contradict_each_other_the_first_stays(
    tmp_path: Path, one: str, other: str, kept: int
) -> None:
    (tmp_path / "1.prom").write_text(one)
    (tmp_path / "2.prom").write_text(other)
    collector = make(tmp_path)
    page = collect(collector)
    assert sum(name.startswith("a") for name, _ in rows_of(page)) == kept
    assert error(collector) == (0 if kept == 2 else 1)
    assert page.count(b"# TYPE a ") == 1


def test_names_of_ours_are_refused_also_as_parts_of_a_histogram(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("node_load1 99\nother 1\n")
    assert {key[0] for key in rows(make(tmp_path))} == {"other", *(family.name for family in TextFiles.families)}
    ours = TextFiles([str(tmp_path)], lambda name: name == "mine_count")
    (tmp_path / "a.prom").write_text("# TYPE mine histogram\nmine_sum 1\n")
    assert b"mine" not in collect(ours)
    assert error(ours) == 1


def test_files_come_change_and_go(tmp_path: Path) -> None:
    collector = make(tmp_path)
    assert set(rows(collector)) == {("node_textfile_scrape_error",)}
    path = tmp_path / "a.prom"
    path.write_text("a 1\n")
    assert rows(collector)[("a",)] == 1
    path.write_text("a 2\n")
    assert rows(collector)[("a",)] == 2
    path.write_text("a 2")
    assert ("a",) not in rows(collector)
    assert error(collector) == 1
    path.write_text("a 3\n")
    assert (rows(collector)[("a",)], error(collector)) == (3, 0)
    path.unlink()
    assert set(rows(collector)) == {("node_textfile_scrape_error",)}


def test_unchanged_files_keep_their_text_unparsed(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = make(case)
    first = collect(collector)
    monkeypatch.setattr(textfile, "parse", lambda _: pytest.fail("parsed again"))
    assert collect(collector) == first


def test_error_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.prom").write_text("cut")
    collector = make(tmp_path)
    collect(collector)
    collect(collector)
    assert [record.getMessage() for record in caplog.records] == ["textfile refused"]


@pytest.mark.parametrize("directories", [["{}/no"], ["{}/no*"], ["{}/file"]])
def test_folder_that_cannot_be_read_is_an_error(tmp_path: Path, directories: Sequence[str]) -> None:
    (tmp_path / "file").write_text("")
    assert error(make(*(directory.format(tmp_path) for directory in directories))) == 1


def test_usual_folders_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(textfile, "DEFAULT_DIRECTORIES", (str(tmp_path / "no"), str(tmp_path)))
    (tmp_path / "a.prom").write_text("a 1\n")
    found = rows(TextFiles(None, lambda _: False))
    assert found[("a",)] == 1
    assert found[("node_textfile_scrape_error",)] == 0


def test_pattern_stands_for_several_folders_and_each_file_counts_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.prom").write_text(f'a{{x="{name}"}} 1\n')
    collector = make(tmp_path / "*", tmp_path / "one")
    assert len(rows(collector, "a")) == 2
    assert error(collector) == 0


@pytest.mark.parametrize("make_it", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_an_error_and_holds_nobody_up(tmp_path: Path, make_it: object) -> None:
    make_it(tmp_path / "a.prom")  # type: ignore[operator]
    assert error(make(tmp_path)) == 1


def test_sizes_and_numbers_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(3):
        (tmp_path / f"{index}.prom").write_text(f"a{index} 1\n")
    assert error(TextFiles([str(tmp_path)], lambda _: False, max_file_bytes=4)) == 1
    monkeypatch.setattr(textfile, "MAX_TOTAL_BYTES", 10)
    assert len(rows(make(tmp_path), "a")) == 2
    monkeypatch.setattr(textfile, "MAX_FILES", 1)
    assert len(rows(make(tmp_path), "a")) == 1


def test_file_name_with_strange_bytes_is_a_visible_label(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b'/\xff"\n.prom'
    with open(path, "w") as file:
        file.write("a 1\n")
    assert [dict(key[1:])["file"] for key in rows(make(tmp_path), "node_textfile_mtime")] == [
        f'{tmp_path}/\\xff"\n.prom'
    ]


@settings(max_examples=tries(50), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), max_size=3))
def test_garbage_never_spoils_the_page(tmp_path: Path, contents: list[bytes]) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    for index, content in enumerate([*contents, b"good 1\n"]):
        (tmp_path / f"{index}.prom").write_bytes(content)
    assert rows(make(tmp_path))[("good",)] == 1
