"""Pages of containers in Chromium: from a folder and from a plain web server, on a phone, without scripts."""

import functools
import http.server
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.fleet.container_pages import LANDING, page_name, pages
from exporter.fleet.containers import assemble
from exporter.fleet.page_folder import write_pages
from tests.support.container_fleet import NOW, answers
from tests.support.web_server import WebServer

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]

playwright = pytest.importorskip("playwright.sync_api")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = assemble(answers(), NOW)
    target = tmp_path_factory.mktemp("pages")
    write_pages(target, pages(found._replace(at=time.time(), data_at=time.time() - 8)))
    return target


@pytest.fixture(scope="module")
def old_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("old")
    found = assemble(answers(), NOW)
    write_pages(target, pages(found._replace(at=time.time() - 3600)))
    return target


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def base(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Handler, directory=str(folder))
    with WebServer(handler) as server:
        yield server.url


def test_a_reader_goes_from_the_landing_page_to_what_has_failed(browser: "playwright.Browser", base: str) -> None:
    with browser.new_context(viewport={"width": 1200, "height": 800}) as context:
        page, said, asked = context.new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{base}/")
        tile = page.get_by_role("link", name="production").first
        assert "1 failed" in tile.inner_text()
        tile.click()
        assert page.get_by_role("heading", level=1).inner_text() == "Containers of production"
        row = page.locator("tbody tr").first
        assert row.locator("td").all_inner_texts()[:5] == [
            "api.production", "web-0", "exited (137)", "example.com/shop/web", "4.2.1",
        ]  # fmt: skip
        page.get_by_role("link", name="All environments").click()
        assert page.locator(".tile").count() == 10
    assert [text for text in said if "favicon" not in text and "404" not in text] == []
    assert all(url.startswith(f"{base}/") for url in asked)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_it_works_from_a_folder(browser: "playwright.Browser", folder: Path, scripts: bool) -> None:
    with browser.new_context(java_script_enabled=scripts) as context:
        page = context.new_page()
        page.goto((folder / LANDING).as_uri())
        page.get_by_role("link", name="staging").click()
        assert "search.staging: does not answer Prometheus" in page.locator(".fault").inner_text()
        assert "Its oldest data was 8 s old then." in page.locator(".age").inner_text()
        assert "nobody writes" not in page.locator(".age").inner_text()


def test_a_page_that_nobody_writes_any_more_says_so(browser: "playwright.Browser", old_folder: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((old_folder / LANDING).as_uri())
        assert "That is 60 min ago: nobody writes this page any more." in page.locator(".age").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200], ids=["phone", "desk"])
def test_nothing_reaches_over_the_edge(browser: "playwright.Browser", folder: Path, width: int, scheme: str) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        for name in (LANDING, page_name("production")):
            page.goto((folder / name).as_uri())
            assert page.evaluate(OVERFLOW) == 0, name
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert background == ("rgb(246, 247, 249)" if scheme == "light" else "rgb(21, 23, 26)")


def test_axe_finds_nothing_serious(browser: "playwright.Browser", folder: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        for name in (LANDING, page_name("production"), page_name("staging")):
            page.goto((folder / name).as_uri())
            found = axe.Axe().run(page).response["violations"]
            assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == [], name
