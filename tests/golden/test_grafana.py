"""The committed dashboards are those of the code, and each is one that Grafana shows well."""

import html
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

import grafana.__main__ as generator
from grafana.board import RUNBOOKS
from grafana.boards import BOARDS
from tests.support import dashboard_pictures, dashboards, mutation

ROOT: Final = Path(__file__).parents[2]
LOADED: Final = dashboards.load()
# Grafana 11 and 12 have them; graph, singlestat and table-old are gone
CURRENT: Final = frozenset({"timeseries", "stat", "table", "state-timeline", "bargauge", "heatmap"})
PANELS: Final = [
    pytest.param(uid, panel, id=f"{uid}/{panel['title']}")
    for uid, board in LOADED.items()
    for panel in dashboards.panels(board)
]
RULES: Final = mutation.shipped()


def of_kind(kind: str) -> list[Any]:
    return [one for one in PANELS if cast("dict[str, Any]", one.values[1])["type"] == kind]


@pytest.fixture(params=LOADED)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return LOADED[request.param]


def test_the_files_are_in_step_with_the_code() -> None:
    """When this fails: make golden, or python -m grafana."""
    assert {file.name: file.read_text() for file in dashboards.FOLDER.glob("*.json")} == generator.texts()


def test_check_names_what_is_out_of_step_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generator, "FOLDER", tmp_path / "dashboards")
    assert generator.main(["--check"]) == 1
    assert "grafana/dashboards/hostwatch-fleet.json is out of step" in capsys.readouterr().err
    assert generator.main([]) == 0
    (tmp_path / "dashboards" / "hostwatch-gone.json").write_text("{}")
    assert generator.main(["--check"]) == 1
    assert generator.main([]) == generator.main(["--check"]) == 0


def test_there_are_eight_dashboards() -> None:
    assert [board.uid for board in BOARDS] == [
        *("hostwatch-fleet", "hostwatch-host", "hostwatch-network", "hostwatch-services", "hostwatch-containers"),
        *("hostwatch-processes", "hostwatch-alerts", "hostwatch-hostwatch"),
    ]
    assert LOADED.keys() == {board.uid for board in BOARDS}


def test_it_is_imported_without_questions(board: dict[str, Any]) -> None:
    assert "__inputs" not in board
    assert "__requires" not in board
    assert board.get("id") is None
    assert board["editable"] is False
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["current"]["value"] == provisioned()["uid"]
    assert {one["datasource"]["uid"] for one in with_a_datasource(board)} == {"${datasource}"}


def test_grafanas_own_models_read_it_and_write_the_same(board: dict[str, Any]) -> None:
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    # what its annotation has no place for, and Grafana's Prometheus has
    assert {**read, "annotations": board["annotations"]} == board


def with_a_datasource(node: Any) -> Iterator[dict[str, Any]]:
    """Yield whatever of a dashboard asks a data source."""
    if isinstance(node, list):
        for one in node:
            yield from with_a_datasource(one)
    elif isinstance(node, dict):
        if isinstance(node.get("datasource"), dict):
            yield node
        for one in node.values():
            yield from with_a_datasource(one)


def provisioned() -> dict[str, Any]:
    (source,) = yaml.safe_load((ROOT / "grafana/provisioning/datasources/hostwatch.yml").read_text())["datasources"]
    return dict(source)


def test_the_data_source_knows_the_scrape_interval() -> None:
    shipped = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert provisioned()["jsonData"]["timeInterval"] == shipped


def test_panels_fill_the_grid_and_none_lies_on_another(board: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in taken, f"{panel['title']} lies on {taken.get(cell)}"
            taken[cell] = panel["title"]
    rows = {y for _, y in taken}
    assert rows == set(range(max(rows) + 1))
    assert {x for x, _ in taken} == set(range(24))
    assert len(taken) == 24 * len(rows), "a hole"


def test_numbers_and_titles_of_panels_are_unique(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    titles = [panel["title"] for panel in dashboards.panels(board)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_a_panel_says_what_it_shows_and_in_what(uid: str, panel: dict[str, Any]) -> None:
    assert panel["type"] in CURRENT
    assert re.fullmatch(r"[A-Z0-9'].{10,}[.:;)].*", panel["description"], re.DOTALL), panel["description"]
    assert len(panel["title"]) <= 4 * panel["gridPos"]["w"] + 14, "the title does not fit above its panel"
    if panel["type"] == "table":
        assert panel["fieldConfig"]["defaults"]["noValue"]
    else:
        assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] in {"timeseries", "state-timeline", "bargauge"}:
        assert all(target.get("legendFormat") for target in panel["targets"])


@pytest.mark.parametrize(("uid", "panel"), of_kind("state-timeline"))
def test_a_state_has_a_word_and_a_sign_beside_its_colour(uid: str, panel: dict[str, Any]) -> None:
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    texts = [result["text"] for result in mapping["options"].values()]
    assert len(texts) >= 2
    assert len(set(texts)) == len(texts)
    assert all(re.fullmatch(r"[^\w\s] \w+", text) for text in texts), texts


@pytest.mark.parametrize(("uid", "panel"), [one for one in of_kind("timeseries") if "host:threshold" in str(one)])
def test_a_threshold_comes_from_the_rules_and_is_a_dashed_line(uid: str, panel: dict[str, Any]) -> None:
    dashed = {
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if "custom.lineStyle" in {prop["id"] for prop in override["properties"]}
    }
    for target in panel["targets"]:
        assert ("host:threshold" in target["expr"]) <= (target["refId"] in dashed)


@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_no_panel_has_the_colours_that_grafana_gives_by_itself(uid: str, panel: dict[str, Any]) -> None:
    """Without thresholds of its own a number turns red at 80, whatever it counts."""
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    if panel["type"] not in {"timeseries", "heatmap"}:
        assert steps
        assert steps[0].get("value") is None


def test_alerts_and_reboots_are_marked(board: dict[str, Any]) -> None:
    marks = {one["name"]: one for one in board["annotations"]["list"]}
    assert marks.keys() == {"Alerts", "Reboots"}
    assert all(one["enable"] for one in marks.values())
    assert marks["Reboots"]["useValueForTime"]


def test_links_lead_to_dashboards_and_runbooks_that_are_there() -> None:
    text = "\n".join(file.read_text() for file in dashboards.FOLDER.glob("*.json"))
    assert set(re.findall(r"/d/([\w-]+)", text)) == {"hostwatch-host"} <= LOADED.keys()
    assert '"url": "${runbooks}/${__value.raw}"' in text
    linked = {rule["annotations"]["runbook_url"] for rule in RULES.values() if "alert" in rule}
    assert {url.rpartition("/")[0] for url in linked} == {RUNBOOKS}


def test_the_alerts_lead_to_dashboards_with_the_variables_that_they_set() -> None:
    urls = [
        rule["annotations"]["dashboard_url"]
        for rule in RULES.values()
        if "dashboard_url" in rule.get("annotations", {})
    ]
    assert urls
    for url in urls:
        variables = LOADED[urlsplit(url).path.removeprefix("/d/")]["templating"]["list"]
        assert set(re.findall(r"var-(\w+)=", url)) <= {variable["name"] for variable in variables}


def test_provisioning_finds_the_dashboards() -> None:
    (provider,) = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/hostwatch.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


def test_a_picture_of_each_is_there_and_small() -> None:
    """When this fails: python -m tests.support.dashboard_pictures docs/dashboards."""
    pictures = {file.stem: file.stat().st_size for file in (ROOT / "docs" / "dashboards").glob("*.png")}
    assert pictures.keys() == LOADED.keys()
    assert max(pictures.values()) < 100_000


def test_a_picture_shows_every_panel_where_grafana_puts_it(board: dict[str, Any]) -> None:
    text, height = dashboard_pictures.page(board)
    lowest = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    assert height >= lowest * dashboard_pictures.LINE
    for panel in dashboards.panels(board):
        assert f"<div class=title>{html.escape(panel['title'])}</div><div class=kind><i>{panel['type']}</i>" in text
    assert text.count("<div class=panel ") == len(dashboards.panels(board))
