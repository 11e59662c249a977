"""The JSON Schema of a settings file, for editors and linters."""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from exporter.settings.values import DURATION_PATTERN, Duration


def schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a settings file, for editors and linters."""
    out = msgspec.json.schema(kind, schema_hook=_schema_own)
    _add_defaults(kind, out["$defs"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"hostwatch {kind.__name__}", **out}


def _schema_own(kind: type) -> dict[str, Any]:
    if kind is Duration:
        return {"type": "string", "pattern": DURATION_PATTERN}
    return {"type": "string", "format": "regex"}


def _add_defaults(kind: type[msgspec.Struct], definitions: dict[str, Any]) -> None:
    """Write the defaults declared with `default` into the schema, struct by struct."""
    for field in msgspec.structs.fields(kind):
        for below in _structs_in(field.type):
            _add_defaults(below, definitions)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            continue
        if callable(field.default_factory):
            value = field.default_factory()
            plain = str(value) if isinstance(value, Duration | str) else value
            definitions[kind.__name__]["properties"][field.encode_name]["default"] = plain


def _structs_in(kind: object) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that a type is, or holds as a list, a mapping or a choice."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in get_args(kind):
        yield from _structs_in(part)
