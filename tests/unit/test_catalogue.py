"""The generated pages of docs/ are in step with the code."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.cli import main
from tests.support import catalogue, commands


@pytest.mark.parametrize("page", catalogue.PAGES)
def test_page_is_in_step_with_the_code(page: str) -> None:
    """When this fails: python -m tests.support.catalogue."""
    assert (catalogue.DOCS / page).read_text() == catalogue.PAGES[page]()


def test_usage_of_every_command_is_what_the_command_itself_prints() -> None:
    sections = re.findall(r"^## hostwatch ?(.*)\n\n```\n(.*)$", commands.page(), re.MULTILINE)
    assert len(sections) > 20
    for path, usage in sections:
        said = CliRunner().invoke(main, [*path.split(), "--help"], prog_name="hostwatch")
        assert usage == said.stdout.splitlines()[0], path


def test_check_names_the_page_that_is_out_of_step_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "DOCS", tmp_path / "docs")
    assert catalogue.main(["--check"]) == 1
    assert "docs/metrics.md is out of step" in capsys.readouterr().err
    assert catalogue.main([]) == 0
    assert catalogue.main(["--check"]) == 0
    (tmp_path / "docs" / "settings.md").write_text("old")
    assert catalogue.main(["--check"]) == 1
