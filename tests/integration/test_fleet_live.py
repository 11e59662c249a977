"""The live view in a real terminal: redrawn in place, through a source's absence and a new size, and gone on Ctrl-C."""

import re
import signal
from collections.abc import Iterator

import pytest

from tests.support.services_api import Fault, MockApi, fleet, instance, services_api
from tests.support.terminal import BACK, HIDE, SHOW, TO_OTHER_SCREEN, Terminal

pytestmark = pytest.mark.slow


@pytest.fixture
def api() -> Iterator[MockApi]:
    with services_api(fleet(60)) as server:
        yield server


def watching(api: MockApi, **more: tuple[int, int]) -> Terminal:
    return Terminal("fleet", api.url, "-ms", "GeoService", "--interval", "250ms", **more)  # type: ignore[arg-type]


def test_values_change_in_place_and_ctrl_c_leaves_the_terminal_as_it_was(api: MockApi) -> None:
    with watching(api) as terminal:
        terminal.until(lambda: "10.58.1.6" in terminal.screen(), "the service's first instance is there")
        api.instances["10.58.1.6"] = instance("99%", "GeoService", "1%")
        terminal.until(lambda: re.search(r"10\.58\.1\.6 +GeoService +99%", terminal.screen()) is not None, "new value")
        assert "10.58.1.5 " not in terminal.screen(), "another service's"
        terminal.type(b"\x03")
        assert terminal.end() == 0
        written = terminal.written
    assert written.index(TO_OTHER_SCREEN) < written.index("10.58.1.6")
    assert written.count(TO_OTHER_SCREEN) == written.count(BACK) == 1
    assert written.rindex(SHOW) > written.rindex(HIDE)
    left = written[written.rindex(BACK) :]
    assert "99%" in left, "what it was last stays on the terminal"
    assert "Traceback" not in written
    assert "Aborted" not in written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_ways_to_end_it_leave_the_terminal_as_it_was_too(api: MockApi, number: int) -> None:
    with watching(api) as terminal:
        terminal.until(lambda: "10.58.1.6" in terminal.screen(), "the service's first instance is there")
        terminal.process.send_signal(number)
        assert terminal.end() == 0
        assert terminal.written.count(BACK) == 1
        assert terminal.written.rindex(SHOW) > terminal.written.rindex(HIDE)


def test_it_survives_that_its_source_goes_away_and_comes_back(api: MockApi) -> None:
    with watching(api) as terminal:
        terminal.until(lambda: "10 instances of GeoService" in terminal.screen(), "all instances")
        served, api.instances = api.instances, {}
        api.answer = lambda _path: (503, b"")  # type: ignore[method-assign]
        terminal.until(lambda: "This is what it was at" in terminal.screen(), "the fault is told")
        assert "asking again every 0.25 s. services API http://127.0.0.1:" in terminal.screen()
        assert "10.58.1.6" in terminal.screen(), "what was known is still there"
        api.instances = served
        del api.answer  # type: ignore[method-assign]
        terminal.until(lambda: "This is what it was" not in terminal.screen(), "the fault is gone")
        assert terminal.process.poll() is None


def test_a_new_size_is_filled(api: MockApi) -> None:
    with watching(api, size=(24, 100)) as terminal:
        terminal.until(lambda: "10.58.1.60" in terminal.screen(), "all ten instances")
        terminal.resize(8, 60)
        terminal.until(lambda: "more" in terminal.screen(), "what does not fit is counted")
        screen = terminal.screen()
        assert "10.58.1.60" not in screen
        assert len(screen.rstrip().splitlines()) <= 8
        assert max(len(line) for line in screen.splitlines()) <= 60
        terminal.resize(40, 140)
        terminal.until(lambda: "10.58.1.60" in terminal.screen(), "all ten instances again")


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "NO_COLOR"])
def test_a_terminal_has_colours_unless_it_wants_none(api: MockApi, env: dict[str, str], coloured: bool) -> None:
    kept = {"COLORTERM": "", "NO_COLOR": "", **env}
    with Terminal("fleet", api.url, env=kept) as terminal:
        assert terminal.end() == 1
        assert ("\x1b[1;31m" in terminal.written) is coloured
        assert "UNHEALTHY" in terminal.written


def test_what_takes_over_a_second_says_how_far_it_is() -> None:
    instances = fleet(12)
    with (
        services_api(instances, {f"/{ip}": Fault(delay=0.3) for ip in instances}) as slow,
        Terminal("fleet", slow.url) as terminal,
    ):
        terminal.end()
        assert re.search(rf"{re.escape(slow.url)}: \d+ of 12 answers, \d+ s", terminal.written)
        assert terminal.written.rindex("\r\x1b[K") < terminal.written.index("STATUS"), "it is wiped before the table"
