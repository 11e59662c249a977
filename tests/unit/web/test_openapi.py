"""docs/openapi.json is what the exporter serves, and that is the table of endpoints."""

import json
from pathlib import Path

from exporter.history import History
from exporter.server.http import Request, Response
from exporter.web.api import DOCUMENT, Api
from exporter.web.endpoints import ENDPOINTS
from exporter.web.openapi import document
from exporter.web.sources import Sources

FILE = Path(__file__).parents[3] / "docs/openapi.json"


def test_document_is_in_step(rewrite_golden: bool) -> None:
    text = json.dumps(document(), indent=1, sort_keys=False) + "\n"
    if rewrite_golden:
        FILE.write_text(text)
    assert FILE.read_text() == text, "make golden writes it anew"


def test_document_is_served() -> None:
    answers: list[Response] = []
    Api(Sources(History(5), is_sampled=True))(Request("GET", DOCUMENT, "", {}, ""), answers.append)
    assert json.loads(answers[0].body) == json.loads(FILE.read_text())


def test_document_tells_of_every_endpoint_and_its_parameters() -> None:
    paths = document()["paths"]
    assert set(paths) == {*ENDPOINTS, DOCUMENT}
    for path, row in ENDPOINTS.items():
        assert {one["name"] for one in paths[path]["get"]["parameters"]} == set(row.parameters)


def test_keys_of_the_answers_carry_their_units() -> None:
    plain = {"points", "value", "processes", "inodes", "inodes_free", "next_skip"}
    ends = ("_bytes", "_seconds", "_ratio", "_total", "_cores", "_per_second", "_minute", "_minutes", "_code")
    for name, shape in document()["components"]["schemas"].items():
        for key, kind in shape.get("properties", {}).items():
            if kind.get("type") in {"number", "integer"} and key not in plain:
                assert key.endswith(ends), f"{name}.{key} has no unit"
