"""The committed dashboards as Grafana reads them: every expression with its place, and variables filled in."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parents[2] / "grafana" / "dashboards"
LABEL_VALUES: Final = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::\w+)?\}|([A-Za-z_]\w*))")


class Asked(NamedTuple):
    """One expression of a dashboard: where it stands, what for, and how Grafana asks it."""

    place: str
    """Dashboard / panel / letter."""
    expr: str
    unit: str
    """Grafana's name of the unit in which the panel shows it; empty where none is shown."""
    instant: bool
    dashboard: str


def load() -> dict[str, dict[str, Any]]:
    """Return each dashboard by its uid."""
    boards = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]
    return {board["uid"]: board for board in boards}


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels but for the headings of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def asked(board: Mapping[str, Any]) -> Iterator[Asked]:
    """Yield every expression: of panels, of annotations, and the series of variables."""
    uid = board["uid"]
    for panel in panels(board):
        units = column_units(panel)
        for target in panel["targets"]:
            unit = units.get(target["refId"], panel["fieldConfig"]["defaults"].get("unit", ""))
            if panel["type"] == "heatmap":  # its unit is that of its cells
                unit = panel["fieldConfig"]["defaults"]["unit"]
            place = f"{uid} / {panel['title']} / {target['refId']}"
            yield Asked(place, target["expr"], unit, target["instant"], uid)
    for annotation in board["annotations"]["list"]:
        yield Asked(f"{uid} / annotation {annotation['name']}", annotation["expr"], "", False, uid)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            match = LABEL_VALUES.fullmatch(variable["query"])
            assert match, f"{uid}: variable {variable['name']}: expected label_values(SERIES, LABEL)"
            yield Asked(f"{uid} / variable {variable['name']}", match["series"], "", True, uid)


def column_units(panel: Mapping[str, Any]) -> dict[str, str]:
    """Return the unit of each column of a table by its query's letter."""
    if panel["type"] != "table":
        return {}
    (organize,) = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
    units = {
        override["matcher"]["options"]: prop["value"]
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "unit"
    }
    letters = {name: name.removeprefix("Value #") for name in organize["renameByName"] if name.startswith("Value")}
    if len(panel["targets"]) == 1:
        letters = {"Value": panel["targets"][0]["refId"]}
    shown = {letter: units.get(organize["renameByName"].get(name, ""), "") for name, letter in letters.items()}
    return {target["refId"]: shown.get(target["refId"], "") for target in panel["targets"]}


def filled(expression: str, values: Mapping[str, str]) -> str:
    """Return an expression with its variables' values. Raises KeyError naming one that has none."""
    return _VARIABLE.sub(lambda match: values[match[1] or match[2]], expression)


def times(seconds: float, points: int, scrape_seconds: float) -> dict[str, str]:
    """Return Grafana's own variables for that much time over that many points (its "global variables")."""
    interval = max(seconds / points, scrape_seconds)
    rate = max(interval + scrape_seconds, 4 * scrape_seconds)
    return {
        "__interval": f"{round(interval * 1000)}ms",
        "__interval_ms": str(round(interval * 1000)),
        "__rate_interval": f"{round(rate * 1000)}ms",
        "__range": f"{round(seconds)}s",
        "__range_s": str(round(seconds)),
        "__range_ms": str(round(seconds * 1000)),
    }


def chosen(values: list[str]) -> str:
    """Return several values as Grafana writes them into a regular expression."""
    # Prometheus' strings need each backslash twice (grafana: prometheusSpecialRegexEscape)
    escaped = [re.sub(r"([$^*{}\[\]+?.()|])", r"\\\\\1", value.replace("\\", "\\\\\\\\")) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
