"""Static pages of containers: everything escaped, nothing from elsewhere, whole files only."""

import html.parser
import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.fleet.container_pages import LANDING, page_name, pages
from exporter.fleet.containers import Container, Containers, SilentHost, assemble
from exporter.fleet.moments import ago, local_words, rfc3339, utc_words
from exporter.fleet.page_folder import write_pages
from tests.support.container_fleet import ENVIRONMENTS, NOW, answers

EVIL = "<script>alert('x')</script>\"&\x00\u202e"


class Reader(html.parser.HTMLParser):
    """Takes a page apart: tags with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def fleet() -> Containers:
    return assemble(answers(), NOW)


def one_evil() -> Containers:
    container = Container(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, 1e30, 1, EVIL)
    return Containers((container,), (SilentHost(EVIL, EVIL, EVIL),), {EVIL: frozenset({EVIL})}, NOW, None, (EVIL,))


def test_there_is_a_landing_page_and_one_for_each_environment() -> None:
    found = pages(fleet())
    assert list(found)[-1] == LANDING
    assert set(found) == {LANDING, *(page_name(environment) for environment in ENVIRONMENTS)}
    links = {fields.get("href") for tag, fields in Reader(found[LANDING]).tags if tag == "a"}
    assert links == set(found) - {LANDING}


def test_a_tile_says_what_is_wrong_in_its_environment() -> None:
    tiles = re.findall(r'<a class="tile (\w+)".*?<strong>(.*?)</strong>.*?</a>', pages(fleet())[LANDING])
    tones = {name: tone for tone, name in tiles}
    assert tones["production"] == "bad"
    assert {name for name, tone in tones.items() if tone == "warn"} == {"env03", "env04", "staging"}
    assert {name for name, tone in tones.items() if tone == "good"} == {f"env{n:02}" for n in (1, 2, 5, 6, 7, 8)}


def test_the_exited_stand_on_top() -> None:
    page = pages(fleet())[page_name("production")]
    states = re.findall(r'data-label="State"><span><span class="badge \w*">(.*?)</span>', page)
    assert states[:2] == ["exited (137)", "exited (0)"]
    assert len(states) == 20
    assert set(states[2:]) == {"running", "running (healthy)"}


def test_a_silent_host_is_told_on_its_page() -> None:
    text = Reader(pages(fleet())[page_name("staging")]).text
    assert "Containers of 1 host are not known:" in text
    assert "search.staging: does not answer Prometheus" in text


def test_the_age_of_the_data_is_told() -> None:
    for page in pages(fleet()).values():
        assert "Written 2026-11-21 16:00:00 UTC. Its oldest data was 8 s old then." in Reader(page).text


def test_nothing_of_elsewhere_is_markup() -> None:
    plain = {tag for page in pages(fleet()).values() for tag, _ in Reader(page).tags}
    for page in pages(one_evil()).values():
        reader = Reader(page)
        assert {tag for tag, _ in reader.tags} <= plain
        assert sum(tag == "script" for tag, _ in reader.tags) == 1
        assert all(not name.startswith("on") for _, fields in reader.tags for name in fields)
        assert "alert('x')" in reader.text


def test_a_page_needs_nothing_from_elsewhere() -> None:
    found = pages(fleet())
    for name, page in found.items():
        for tag, fields in Reader(page).tags:
            assert tag not in {"img", "link", "iframe"}
            assert "src" not in fields
            assert fields.get("href", LANDING) in found, name


@given(st.text(max_size=60), st.text(max_size=60))
def test_file_names_are_plain_and_apart(one: str, other: str) -> None:
    assert re.fullmatch(r"environment-[a-z0-9-]{1,60}\.html", page_name(one))
    assert (page_name(one).lower() == page_name(other).lower()) is (one == other)


def test_written_pages_can_be_read_by_a_web_server_and_leave_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    made = pages(fleet())
    write_pages(folder, made)
    assert {file.name for file in folder.iterdir()} == set(made)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}
    assert {file.name: file.read_text() for file in folder.iterdir()} == made


def test_pages_of_environments_that_are_gone_go_and_other_files_stay(tmp_path: Path) -> None:
    write_pages(tmp_path, pages(fleet()))
    theirs = [tmp_path / "environment-notes.html", tmp_path / "notes.html"]
    for file in theirs:
        file.write_text("<p>mine</p>")
    left = fleet()._replace(containers=(), silent=(), hosts={"production": frozenset({"app"})})
    write_pages(tmp_path, pages(left))
    assert {file.name for file in tmp_path.iterdir()} == {
        LANDING, page_name("production"), "environment-notes.html", "notes.html",
    }  # fmt: skip


def test_a_page_is_there_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pages(tmp_path, {LANDING: "old"})

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_pages(tmp_path, {LANDING: "new"})
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {LANDING: "old"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5.0, "0 s ago"),
        (119.0, "119 s ago"),
        (120.0, "2 min ago"),
        (7199.0, "119 min ago"),
        (7200.0, "2 h ago"),
        (172_800.0, "2 d ago"),
    ],
)
def test_how_long_ago(seconds: float, words: str) -> None:
    assert ago(seconds) == words


def test_a_moment_that_no_calendar_has_is_a_dash() -> None:
    assert (rfc3339(1e30), utc_words(1e30), local_words(-1e30)) == (None, "-", "-")
    assert (rfc3339(NOW), utc_words(NOW)) == ("2026-11-21T16:00:00Z", "2026-11-21 16:00:00")
