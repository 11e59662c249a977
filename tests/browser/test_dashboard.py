"""The exporter's page in Chromium: it draws, sorts, goes back to a moment, is readable by all, and asks nobody else."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.support.client import until
from tests.support.dashboard_scene import HOSTILE, scene
from tests.support.exporter import Child, exporter_running

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "linux")]

# a noisy machine takes its time; nothing here is a measurement
SOON = 60_000
# the backup of the scene ran from 1400 s to 900 s before it began: well inside for the next minutes, too
AGO = 1360


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with scene(tmp_path_factory.mktemp("scene"), "sampler: {interval: 1s}\n") as child:
        yield child


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        yield one
        one.close()


@contextmanager
def opened(browser: Browser, port: int, *, width: int = 1280, scheme: str = "light") -> Iterator[Page]:
    """Open the page in a context of its own; fails for anything in the console and any request to elsewhere."""
    dark = scheme == "dark"
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light")
    page, said, asked = context.new_page(), list[str](), list[str]()
    page.set_default_timeout(SOON)
    expect.set_options(timeout=SOON)
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("#state")).to_have_text("live")
        yield page
        assert said == []
        assert [url for url in asked if not url.startswith(f"http://127.0.0.1:{port}/")] == []
    finally:
        context.close()


@pytest.fixture(scope="module")
def open_page(exporter: Child, browser: Browser) -> Iterator[Page]:
    with opened(browser, exporter.port) as one:
        expect(page_row(one, "processes", "postgres")).to_be_visible()
        yield one


@pytest.fixture
def page(open_page: Page) -> Page:
    """Return the one page that most tests share, as it was at first but for the order of its tables."""
    open_page.keyboard.press("Escape")
    open_page.mouse.move(1, 1)
    return open_page


def page_row(page: Page, table: str, name: str) -> Locator:
    """Return the row of a table that begins with a name."""
    return page.locator(f"#{table} tbody tr").filter(
        has=page.locator("th", has_text=re.compile(f"^{re.escape(name)}$"))
    )


def column(page: Page, table: str, number: int) -> list[str]:
    return page.locator(f"#{table} tbody tr > :nth-child({number})").all_inner_texts()


def graph(page: Page, title: str) -> Locator:
    return page.locator(f'section.chart[aria-label="{title}"]')


def draws_the_whole_hour(page: Page, title: str) -> None:
    card = graph(page, title)
    expect(card.locator("path.line").first).to_be_attached()
    page.wait_for_function(
        """card => [...card.querySelectorAll("path.line")].some(
            line => line.getBBox().width > 0.9 * (card.querySelector("svg.graph").clientWidth - 74))""",
        arg=card.element_handle(),
    )


def test_every_graph_draws_the_whole_hour(page: Page) -> None:
    for title in ("CPU", "Memory", "Network", "Disk I/O", "Disk space", "Latency"):
        draws_the_whole_hour(page, title)
        assert "now" in (graph(page, title).locator("svg.graph").get_attribute("aria-label") or "")


@pytest.mark.parametrize("cores", [160, 300], ids=["steps longer than usual", "more than one answer holds"])
def test_the_hour_of_a_machine_with_many_series_is_drawn(browser: Browser, tmp_path: Path, cores: int) -> None:
    with scene(tmp_path, "sampler: {interval: 1s}\n", cores) as child, opened(browser, child.port) as page:
        for title in ("CPU", "Memory", "Network"):
            draws_the_whole_hour(page, title)
        expect(page.locator("#note")).to_be_hidden()


def test_what_is_drawn_is_live(page: Page) -> None:
    line = graph(page, "Network").locator("path.line").last
    before = line.get_attribute("d")
    page.wait_for_function("([line, before]) => line.isConnected === false", arg=[line.element_handle(), before])
    expect(graph(page, "Network").locator("path.line").last).not_to_have_attribute("d", before or "")


def test_gauges_show_what_the_api_tells(page: Page) -> None:
    gauge = page.get_by_role("meter", name="Memory", exact=True)
    expect(gauge).to_contain_text("of 16.0 GiB")
    told = page.evaluate("async () => (await (await fetch('api/v1/memory')).json()).usage_ratio")
    assert abs(int(gauge.get_attribute("aria-valuenow") or "-1") - told * 100) <= 2


def test_names_are_text_whatever_they_hold(page: Page) -> None:
    expect(page_row(page, "processes", HOSTILE)).to_be_visible()
    assert page.locator("img").count() == 0


def test_columns_sort_by_mouse_and_by_keyboard(page: Page) -> None:
    head = page.locator("#processes").get_by_role("button", name="Name")
    head.click()
    names = column(page, "processes", 1)
    assert names == page.evaluate(
        "names => [...names].sort((a, b) => a.localeCompare(b, 'en', {numeric: true}))", names
    )
    expect(page.locator("#processes").get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "ascending"
    )
    head.press("Enter")
    assert column(page, "processes", 1) == names[::-1]
    page.locator("#processes").get_by_role("button", name="Memory").press("Space")
    assert column(page, "processes", 1)[0] == "postgres"
    assert column(page, "processes", 1)[-1] == "sshd"


def test_what_is_in_trouble_stands_on_top_of_the_containers(page: Page) -> None:
    expect(page_row(page, "containers", "migrate")).to_contain_text("exited (1)")
    expect(page_row(page, "containers", "web")).to_contain_text("unhealthy")
    assert set(column(page, "containers", 1)[:3]) == {"migrate", "web", "worker"}
    expect(page_row(page, "services", "shop")).to_contain_text("down")


def test_alerts_fire_on_the_page_and_only_addresses_of_the_web_are_links(page: Page) -> None:
    alerts = page.locator("#alerts")
    expect(alerts).to_contain_text("ServiceDown")
    expect(alerts).to_contain_text("HostDiskFillsIn24Hours")
    expect(alerts).not_to_contain_text("Watchdog")
    links = alerts.locator("a").evaluate_all("links => links.map(one => one.href)")
    assert links == ["https://runbooks.example.com/ServiceDown"]


def test_hover_shows_time_and_values_on_all_graphs(page: Page) -> None:
    plot = graph(page, "CPU").locator("svg.graph")
    plot.hover(position={"x": 200, "y": 60})
    expect(graph(page, "CPU").locator(".tip")).to_contain_text(re.compile(r"\d\d:\d\d:\d\d.*all cores\s*\d", re.DOTALL))
    for title in ("CPU", "Latency"):
        expect(graph(page, title).locator("line.hover")).to_be_attached()
    graph(page, "CPU").locator("h2").hover()
    expect(graph(page, "CPU").locator(".tip")).to_be_hidden()


def pick_by_mouse(page: Page) -> None:
    plot = graph(page, "CPU").locator("svg.graph")
    box = plot.bounding_box()
    assert box is not None
    plot.click(position={"x": 64 + (box["width"] - 74) * (1 - AGO / 3600), "y": 60})


def pick_by_keyboard(page: Page) -> None:
    slider = page.get_by_role("slider", name="Moment of the last hour")
    slider.focus()
    for _ in range(4):  # a tenth of the hour each
        slider.press("PageDown")
    for _ in range((1440 - AGO) // 5):
        slider.press("ArrowRight")


@pytest.mark.parametrize("pick", [pick_by_mouse, pick_by_keyboard], ids=["mouse", "keyboard"])
def test_a_moment_that_is_picked_tells_who_was_on_top(page: Page, pick: Callable[[Page], None]) -> None:
    expect(page_row(page, "processes", "restic")).to_have_count(0)
    pick(page)
    expect(page.locator("#processes-title")).to_contain_text(re.compile(r"Processes at \d\d:\d\d:\d\d"))
    expect(page_row(page, "processes", "restic")).to_be_visible()
    expect(page_row(page, "services", "shop")).to_contain_text("down")
    expect(page.locator("#told")).to_contain_text("on top was restic")
    expect(page.get_by_role("slider", name="Moment of the last hour")).to_have_attribute(
        "aria-valuetext", re.compile("ago")
    )
    page.keyboard.press("Escape")
    expect(page.locator("#processes-title")).to_have_text("Processes")
    expect(page_row(page, "processes", "restic")).to_have_count(0)


def brightness(page: Page) -> int:
    return int(
        page.evaluate(
            "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + +b, 0)"
        )
    )


@pytest.mark.parametrize(("scheme", "is_bright"), [("light", True), ("dark", False)])
def test_the_page_follows_the_desktop_and_the_reader(
    exporter: Child, browser: Browser, scheme: str, is_bright: bool
) -> None:
    with opened(browser, exporter.port, scheme=scheme) as page:
        assert (brightness(page) > 600) is is_bright
        button = page.get_by_role("button", name="Theme")
        button.click()
        assert brightness(page) > 600
        button.click()
        assert brightness(page) < 150
        page.reload()
        expect(button).to_have_text("Theme: dark")


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_everybody_can_read_it_and_nothing_reaches_over_the_edge(
    exporter: Child, browser: Browser, width: int, scheme: str
) -> None:
    with opened(browser, exporter.port, width=width, scheme=scheme) as page:
        expect(page_row(page, "processes", "postgres")).to_be_visible()
        expect(page_row(page, "containers", "migrate")).to_be_visible()
        expect(graph(page, "Latency").locator("path.line").first).to_be_attached()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        pushed = "() => [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        assert page.evaluate(pushed) == 0, "no table needs to be pushed about"
        found = Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in {"serious", "critical"}]
        assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in serious] == []


def test_a_fresh_exporter_without_settings_fills_the_page(browser: Browser, tmp_path: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text("sampler: {interval: 1s}\ncollectors: {process_groups: {interval: 1s}}\n")
    with exporter_running("--config", str(config)) as child:
        with opened(browser, child.port) as page:
            expect(page.locator("#alerts")).to_be_hidden()
            expect(page.locator("#processes tbody tr").first).to_be_visible()
            expect(graph(page, "CPU").locator("path.line").first).to_be_attached()
            expect(page.locator("#filesystems tbody tr").first).to_be_visible()
        until(lambda: child.connections == 0, "the page that was closed holds no connection", seconds=30)
        assert "Traceback" not in child.text


def test_the_page_comes_back_after_the_settings_were_read_again(browser: Browser, tmp_path: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text("sampler: {interval: 1s}\n")
    with exporter_running("--config", str(config)) as child:
        context = browser.new_context()
        try:
            page = context.new_page()
            page.set_default_timeout(SOON)
            page.goto(f"http://127.0.0.1:{child.port}/")
            expect(page.locator("#state")).to_have_text("live", timeout=SOON)
            child.signal(1)
            expect(page.locator("#state")).to_have_text("reconnecting", timeout=SOON)
            expect(page.locator("#state")).to_have_text("live", timeout=SOON)
        finally:
            context.close()
