"""The generated pages of docs/ are in step with the code."""

from pathlib import Path

import pytest

from tests.support import catalogue


@pytest.mark.parametrize("page", catalogue.PAGES)
def test_page_is_in_step_with_the_code(page: str) -> None:
    """When this fails: python -m tests.support.catalogue."""
    assert (catalogue.DOCS / page).read_text() == catalogue.PAGES[page]()


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
