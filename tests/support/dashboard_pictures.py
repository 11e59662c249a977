"""The dashboards' layout as pictures: `python -m tests.support.dashboard_pictures docs/dashboards`.

For a review without Grafana. Each panel is a box where Grafana puts it, with its title, type, unit, and what its series
or columns are called. What is in a box is a sketch, not data.
"""

import html
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.support import dashboards
from tests.support.browser import Browser
from tests.support.small_png import shrink

WIDTH: Final = 1200
# a column of Grafana's grid, and a line of it
COLUMN: Final = WIDTH / 24
LINE: Final = 26
HEAD: Final = 64
# grey edges of letters instead of coloured ones: fewer colours
PLAIN: Final = ("--disable-lcd-text", "--force-device-scale-factor=1")
_STYLE: Final = """
* { box-sizing: border-box; margin: 0 }
body { background: #f4f5f5; font: 12px/1.3 "DejaVu Sans", sans-serif; color: #24292e; width: WIDTHpx }
h1 { font-size: 18px; padding: 10px 8px 0 } .variables { padding: 2px 8px; color: #57606a }
.variables b { background: #fff; border: 1px solid #d0d7de; padding: 0 6px; font-weight: normal; margin-right: 4px }
.row { position: absolute; font-weight: bold; font-size: 14px; padding: 5px 8px }
.panel { position: absolute; padding: 3px } .panel > div { position: relative; overflow: hidden; height: 100%;
  background: #fff; border: 1px solid #d0d7de; padding: 4px 8px }
.title { font-weight: bold } .kind { color: #57606a; font-size: 11px }
.kind i { font-style: normal; background: #ddf4ff; padding: 0 4px; margin-right: 3px }
.names { font-size: 11px; color: #24292e } .names span { white-space: nowrap; margin-right: 10px }
.names .limit { color: #bc4c00 } .big { font-size: 22px; color: #0969da; margin-top: 6px }
.table { border-collapse: collapse; width: 100%; font-size: 11px; margin-top: 4px }
.table th { text-align: left; border-bottom: 2px solid #d0d7de; padding: 1px 6px 1px 0; white-space: nowrap }
.table td { border-bottom: 1px solid #eaeef2; color: #57606a; padding: 1px 6px 1px 0 }
svg { position: absolute; left: 8px; right: 8px; bottom: 6px }
"""


def page(board: Mapping[str, Any]) -> tuple[str, int]:
    """Return a dashboard's layout as HTML, and how high it is in pixels."""
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    height = int(HEAD + lines * LINE + 8)
    names = [one.get("label") or one["name"] for one in board["templating"]["list"] if one.get("hide") != 2]
    body = "".join(_box(panel) for panel in board["panels"])
    style = _STYLE.replace("WIDTH", str(WIDTH))
    variables = "".join(f"<b>{html.escape(name)} ▾</b>" for name in names)
    title, about = html.escape(board["title"]), html.escape(board["description"])
    head = f"<h1>{title}</h1><div class=variables>{variables}{about}</div>"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{head}{body}", height


def _box(panel: Mapping[str, Any]) -> str:
    place = panel["gridPos"]
    where = (
        f"left:{place['x'] * COLUMN:.0f}px;top:{HEAD + place['y'] * LINE}px;"
        f"width:{place['w'] * COLUMN:.0f}px;height:{place['h'] * LINE}px"
    )
    if panel["type"] == "row":
        return f'<div class=row style="{where}">▾ {html.escape(panel["title"])}</div>'
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    kind = f"<i>{panel['type']}</i>{html.escape(unit)}"
    title = html.escape(panel["title"])
    inner = f"<div class=title>{title}</div><div class=kind>{kind}</div>{_content(panel)}"
    return f'<div class=panel style="{where}"><div>{inner}</div></div>'


def _content(panel: Mapping[str, Any]) -> str:
    kind = panel["type"]
    if kind == "table":
        return _table(panel)
    legends = [target.get("legendFormat") or "" for target in panel["targets"]]
    limits = {
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if "custom.lineStyle" in {prop["id"] for prop in override["properties"]}
    }
    names = " ".join(
        f"<span{' class=limit' if target['refId'] in limits else ''}>"
        f"{'┄' if target['refId'] in limits else '―'} {html.escape(legend)}</span>"
        for target, legend in zip(panel["targets"], legends, strict=True)
        if legend and kind != "heatmap"
    )
    sketch = "<div class=big>123</div>" if kind == "stat" else _sketch(panel, bool(limits))
    return f"<div class=names>{names}</div>{sketch}"


def _table(panel: Mapping[str, Any]) -> str:
    (organize,) = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
    names = sorted(organize["indexByName"], key=organize["indexByName"].get)
    heads = [organize["renameByName"].get(name, name) for name in names]
    units = dashboards.column_units(panel)
    letters = {name: name.removeprefix("Value #") for name in names if name.startswith("Value #")}
    cells = [units.get(letters.get(name, "A" if name == "Value" else ""), "label") or "…" for name in names]
    top = "".join(f"<th>{html.escape(head)}" for head in heads)
    row = "<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in cells)
    return f"<table class=table><tr>{top}{row}</table>"


def _sketch(panel: Mapping[str, Any], has_limit: bool) -> str:
    width = int(panel["gridPos"]["w"] * COLUMN) - 26
    height = max(panel["gridPos"]["h"] * LINE - 92, 16)
    shapes = "".join(_SHAPES[panel["type"]](width, height))
    if has_limit:
        shapes += f'<path d="M0 4H{width}" stroke="#bc4c00" stroke-dasharray="8 6"/>'
    return f'<svg width="{width}" height="{height}" fill="none">{shapes}</svg>'


def _lines(width: int, height: int) -> Iterator[str]:
    for turn, color in enumerate(("#54aeff", "#0969da")):
        points = " ".join(
            f"{x * width / 8:.0f},{height - (((x * 5 + turn * 3) % 7) / 7 * 0.5 + 0.15) * height:.0f}" for x in range(9)
        )
        yield f'<polyline points="{points}" stroke="{color}"/>'


def _stripes(width: int, height: int) -> Iterator[str]:
    for number in range(max(height // 16, 1)):
        cut = width * (3 + number * 2 % 5) // 9
        yield f'<rect x="0" y="{number * 16}" width="{cut}" height="12" fill="#54aeff"/>'
        yield f'<rect x="{cut}" y="{number * 16}" width="{width - cut}" height="12" fill="#0969da"/>'


def _bars(width: int, height: int) -> Iterator[str]:
    for number in range(max(height // 16, 1)):
        yield f'<rect x="0" y="{number * 16}" width="{width}" height="11" fill="#eaeef2"/>'
        yield f'<rect x="0" y="{number * 16}" width="{width * 0.85**number * 0.9:.0f}" height="11" fill="#54aeff"/>'


def _cells(width: int, height: int) -> Iterator[str]:
    for x in range(0, width - 12, 14):
        for y in range(0, height - 8, 10):
            dark = ((x * 7 + y * 13) % 11) / 11 * (y / max(height, 1))
            yield f'<rect x="{x}" y="{y}" width="12" height="8" fill="#0969da" opacity="{dark:.2f}"/>'


_SHAPES: Final = {"timeseries": _lines, "state-timeline": _stripes, "bargauge": _bars, "heatmap": _cells}


def main(folder: Path) -> None:
    """Write a picture of each dashboard."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hostwatch-pictures-") as name:
        browser, file = Browser(Path(name) / "profile"), Path(name) / "board.html"
        for uid, board in dashboards.load().items():
            text, height = page(board)
            file.write_text(text)
            picture = (folder / f"{uid}.png").resolve()
            browser.screenshot(file.as_uri(), picture, WIDTH, height, *PLAIN)
            shrink(picture)
            print(f"wrote {folder / uid}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
