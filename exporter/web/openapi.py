"""The document of the REST API (OpenAPI 3.1), made of the table of endpoints and the shapes of their answers."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from exporter import __version__
from exporter.web.api import DOCUMENT, JSON, Failure
from exporter.web.endpoints import ENDPOINTS, V1, Row

_ABOUT: Final = (
    "What one machine does, as JSON. Units are part of the key. What is not known is a missing key, never zero or "
    "null; a missing list is not known, an empty one is known to be empty. Within a version keys are added only."
)
_PLAIN: Final = {
    "401": "A password is needed (text).",
    "429": "Too many requests (text).",
}


@lru_cache(maxsize=1)
def document() -> Mapping[str, Any]:
    """Return the whole document."""
    answers = [row.answer for row in ENDPOINTS.values()]
    shapes, parts = msgspec.json.schema_components([*answers, Failure], ref_template="#/components/schemas/{name}")
    paths = {path: {"get": _operation(path, row, shapes[i])} for i, (path, row) in enumerate(ENDPOINTS.items())}
    paths[DOCUMENT] = {
        "get": {
            "operationId": "openapi",
            "summary": "This document",
            "responses": {"200": _answer("The document", {"type": "object"}), **_failures(set())},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "hostwatch exporter", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": dict(sorted(parts.items()))},
    }


def _operation(path: str, row: Row, shape: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": one.description,
            "schema": one.schema,
            "example": one.example,
        }
        for name, one in row.parameters.items()
    ]
    return {
        "operationId": path.removeprefix(f"{V1}/"),
        "summary": row.summary,
        "parameters": parameters,
        "responses": {"200": _answer(row.summary, shape), **_failures(set(row.codes))},
    }


def _failures(own: set[int]) -> dict[str, Any]:
    failure = {"$ref": "#/components/schemas/Failure"}
    json = {
        str(status): _answer(text, failure)
        for status, text in {
            400: "A parameter that is not known, or bad: the message names it and what was expected.",
            404: "Nothing was kept of that moment.",
            405: "Not GET or HEAD.",
            500: "Our fault; the log has more.",
        }.items()
        if status != 404 or 404 in own
    }
    plain = {
        status: {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
        for status, text in _PLAIN.items()
    }
    return dict(sorted({**json, **plain}.items()))


def _answer(text: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": shape}}}
