"""The JSON Schema of a settings file, for editors and linters."""

from typing import Any

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
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            _add_defaults(field.type, definitions)
        elif callable(field.default_factory):
            value = field.default_factory()
            plain = str(value) if isinstance(value, Duration | str) else value
            definitions[kind.__name__]["properties"][field.encode_name]["default"] = plain
