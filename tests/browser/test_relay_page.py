"""The relay's page in Chromium: nothing that its own policy forbids, nothing cut off, in wide and narrow windows."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.relay import RelayProcess
from tests.support.relay_scene import scene

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]

DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with scene(tmp_path_factory.mktemp("scene")) as one:
        yield one


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path / "chromium")


def page(relay: RelayProcess) -> str:
    return f"http://127.0.0.1:{relay.port}/?refresh=off"


def pixels(file: Path) -> list[bytes]:
    """Return a PNG's rows of RGB or RGBA pixels, filters undone (PNG specification, section 9)."""
    data = file.read_bytes()
    at, body, width, depth = 8, b"", 0, 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IHDR":
            width, _, _, colour = struct.unpack(">IIBB", data[at + 8 : at + 18])
            depth = {2: 3, 6: 4}[colour]
        body += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    raw, out, row = zlib.decompress(body), [], bytearray(width * depth)
    for start in range(0, len(raw), width * depth + 1):
        row = _unfilter(raw[start], bytearray(raw[start + 1 : start + 1 + width * depth]), row, depth)
        out.append(bytes(row))
    return out


def _unfilter(kind: int, row: bytearray, above: bytearray, depth: int) -> bytearray:
    for i in range(len(row)):
        left, up = row[i - depth] if i >= depth else 0, above[i]
        corner = above[i - depth] if i >= depth else 0
        row[i] = (row[i] + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]) & 255
    return row


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))


def test_the_page_breaks_no_rule_of_its_own(relay: RelayProcess, browser: Browser) -> None:
    assert browser.console(page(relay)) == []


def test_a_reader_sees_messages_threads_and_parts(relay: RelayProcess, browser: Browser) -> None:
    dom = browser.dom(page(relay))
    for words in ("Who used the CPU", "waits for #alerts", "in #database", "Takes no message for", "Now CRITICAL"):
        assert words in dom.replace("<strong>", "").replace("</strong>", ""), words
    assert dom.index("QueueGrows") < dom.index("HostCpuHigh") < dom.index("HostDiskFull") < dom.index("ServiceDown")


@pytest.mark.parametrize("width", [500, 900], ids=["narrow", "wide"])
def test_nothing_reaches_over_the_edge(relay: RelayProcess, browser: Browser, tmp_path: Path, width: int) -> None:
    file = tmp_path / "page.png"
    browser.screenshot(page(relay), file, width, 700)
    rows = pixels(file)
    depth = len(rows[0]) // width
    edges = {row[side : side + depth] for row in rows for side in (0, (width - 1) * depth)}
    assert len(edges) == 1, "both margins are the page's own colour from top to bottom"
    assert len(set(rows)) > 100


def test_a_dark_desktop_gets_a_dark_page(relay: RelayProcess, browser: Browser, tmp_path: Path) -> None:
    corners = []
    for name, more in (("light", ()), ("dark", (DARK,))):
        file = tmp_path / f"{name}.png"
        browser.screenshot(page(relay), file, 900, 300, *more)
        corners.append(pixels(file)[0][:3])
    assert min(corners[0]) > 200
    assert max(corners[1]) < 60
