"""docs/metrics.md and docs/settings.md, written from the code: `python -m tests.support.catalogue [--check]`."""

import ast
import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast, get_args, get_origin

import msgspec
from prometheus_client.core import Metric

from exporter import probes
from exporter.collector import Collector
from exporter.collectors import COLLECTORS
from exporter.collectors.runner import FAMILIES
from exporter.exposition import Family
from exporter.probes.ping import Ping
from exporter.probes.services import Services
from exporter.probes.services_api import ServicesApis
from exporter.relay.gauges import ROWS
from exporter.relay.metrics import Metrics
from exporter.relay.vault_lease import Api
from exporter.relay.vault_metrics import VaultMetrics
from exporter.relay.vault_settings import Vault
from exporter.relay.vault_source import VaultSource
from exporter.settings import Duration, Regex
from exporter.settings.collectors import Collectors
from exporter.settings.exporter import Exporter
from tests.support import commands

# what shows the results of probes, and the settings that ask for them
PROBES: Final[dict[type[Collector], tuple[str, ...]]] = {
    Ping: ("ping",),
    Services: tuple(row.kind for row in probes.PROBES),
    ServicesApis: ("services_api",),
}

DOCS: Final = Path(__file__).parents[2] / "docs"

_METRICS: Final = """\
# Metrics

Every family that `hostwatch serve` may expose, by collector. Written by `python -m tests.support.catalogue`; a test
keeps it in step with the code. A family stands on the page only where this machine has something to say: absent, never
zero.

`node_*` has the names, labels, types and meanings of node_exporter; `host_*` is ours. A collector is switched off with
`collectors.NAME.enabled: false` in the settings file, and a scrape can ask for some only: `/metrics?collect[]=NAME`.
"""
_RELAY: Final = """\
What `hostwatch relay` exposes on its own /metrics, beside the usual `process_*` of its process. `relay_vault_*` is
there where the settings name a Vault. Counts are since the start; a moment that has not come yet has no sample."""
_SETTINGS: Final = """\
# Settings of `hostwatch serve`

Every key of the settings file (YAML), with its default; all may be left out. Written by
`python -m tests.support.catalogue`; a test keeps it in step with the code. `hostwatch config check FILE` says whether a
file can be used, `hostwatch config schema` prints the same as JSON Schema for editors. SIGHUP reads the file again.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _family_row(family: Family) -> tuple[str, ...]:
    return _code(family.name), family.kind, ", ".join(_code(label) for label in family.labels), _cell(family.help)


def metrics() -> str:
    """Return docs/metrics.md."""
    head = ("name", "type", "labels", "meaning and source")
    parts = [_METRICS.rstrip()]
    for row in COLLECTORS:
        doc = inspect.getdoc(row.kind) or ""
        kind = type(getattr(Collectors(), row.kind.name))
        keys = [_code(f"collectors.{row.kind.name}.{field.encode_name}") for field in msgspec.structs.fields(kind)]
        parts += ["", f"## {row.kind.name}", "", " ".join(doc.split()), ""]
        parts += ["On every system. " if not row.linux else "On Linux. "]
        parts[-1] += f"Settings: {', '.join(keys)}; see [settings](settings.md)."
        parts += ["", *_table(head, (_family_row(family) for family in row.kind.families))]
    for probe, keys in PROBES.items():
        names = ", ".join(_code(f"probes.{key}") for key in keys)
        parts += ["", f"## {probe.name}", "", " ".join((inspect.getdoc(probe) or "").split()), ""]
        parts += [f"On timers of its own. Settings: {names}; see [settings](settings.md).", ""]
        parts += _table(head, (_family_row(family) for family in probe.families))
    parts += ["", "## About each collector", "", "Of every collector that was asked for, whatever became of it.", ""]
    parts += _table(head, (_family_row(family) for family in FAMILIES))
    parts += ["", "## The relay", "", _RELAY, "", *_table(head, (_family_row(family) for family in relay_families()))]
    return "\n".join(parts) + "\n"


def relay_families() -> list[Family]:
    """Return every family of `hostwatch relay`, Vault's included, by name."""
    registry = Metrics().registry
    source = VaultSource(Vault(address="https://vault.invalid"), lambda _: None, cast("Api", None))
    found = [*registry.collect(), *VaultMetrics(source).collect()]
    ours = [metric for metric in found if metric.name.startswith("relay_")]
    return sorted([*(_family_of(metric) for metric in ours), *(Family(r.name, r.kind, r.help, r.labels) for r in ROWS)])


def _family_of(metric: Metric) -> Family:
    labels = getattr(metric, "_labelnames", ()) or (tuple(metric.samples[0].labels) if metric.samples else ())
    if metric.type == "counter":
        return Family(f"{metric.name}_total", "counter", metric.documentation, tuple(labels))
    return Family(metric.name, "gauge", metric.documentation, tuple(labels))


def _meanings(kind: type) -> dict[str, str]:
    """Return the text under each field of a settings class, its bases' included."""
    out: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("exporter."):
            body = ast.parse(inspect.getsource(base)).body[0]
            assert isinstance(body, ast.ClassDef)
            for field, text in zip(body.body, body.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                ):
                    assert isinstance(field.target, ast.Name)
                    out[field.target.id] = " ".join(str(text.value.value).split())
    return out


def _type_name(kind: Any) -> str:
    """Return a type in a user's words."""
    names = {Duration: "duration", Regex: "regular expression", str: "text", bool: "true or false", int: "whole number",
             float: "number", type(None): "nothing"}  # fmt: skip
    if kind in names:
        return names[kind]
    if get_origin(kind) is typing.Literal:
        return " or ".join(_code(str(value)) for value in get_args(kind))
    if get_origin(kind) is typing.Annotated:
        plain, *metas = get_args(kind)
        limits = [
            f"{sign} {value}"
            for meta in metas
            for sign, value in ((">", meta.gt), ("≥", meta.ge), ("≤", meta.le))
            if value is not None
        ]
        return ", ".join((_type_name(plain), *limits))
    if get_origin(kind) in (list, tuple, frozenset, set):
        return "list of " + _type_name(get_args(kind)[0])
    if get_origin(kind) is dict:
        return f"mapping of {_type_name(get_args(kind)[0])} to {_type_name(get_args(kind)[1])}"
    if get_args(kind):  # a union; that a key may be left out needs no word
        return " or ".join(_type_name(part) for part in get_args(kind) if part not in (type(None), msgspec.UnsetType))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "mapping"
    return str(getattr(kind, "__name__", kind))


def _default(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return _code(str(value).lower())
    if isinstance(value, tuple | list | dict | frozenset):
        return _code(", ".join(map(str, value))) if value else "none"
    return _code(str(value)) if value != "" else "none"


def _settings_rows(value: msgspec.Struct, path: str) -> Iterator[tuple[str, ...]]:
    meanings = _meanings(type(value))
    for field in msgspec.structs.fields(type(value)):
        below = getattr(value, field.name)
        key = f"{path}{field.encode_name}"
        if isinstance(below, msgspec.Struct):
            yield from _settings_rows(below, key + ".")
        else:
            yield _code(key), _type_name(field.type), _default(below), _cell(meanings[field.name])
            yield from _entry_rows(field.type, f"{key}[].")


def _entry_rows(kind: Any, path: str) -> Iterator[tuple[str, ...]]:
    """Yield a row for each key of the mappings that a list may hold, those below them included."""
    for entry in _structs_in(kind):
        meanings = _meanings(entry)
        for field in msgspec.structs.fields(entry):
            key = f"{path}{field.encode_name}"
            below = _default_of(field)
            if isinstance(below, msgspec.Struct):
                yield from _entry_rows(type(below), key + ".")
                continue
            default = "required" if field.required else _default(below)
            yield _code(key), _type_name(field.type), default, _cell(meanings[field.name])
            yield from _entry_rows(field.type, f"{key}[]." if _is_list(field.type) else key + ".")


def _structs_in(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in get_args(kind):
        yield from _structs_in(part)


def _default_of(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default in (msgspec.NODEFAULT, msgspec.UNSET) else field.default


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple) or any(_is_list(part) for part in get_args(kind))


def settings() -> str:
    """Return docs/settings.md. Raises KeyError naming a field that has no text under it."""
    head = ("key", "type", "default", "meaning")
    parts = [_SETTINGS]
    plain = [
        field for field in Exporter.__struct_fields__ if not isinstance(getattr(Exporter(), field), msgspec.Struct)
    ]
    rows = list(_settings_rows(Exporter(), ""))
    parts += _table(head, (row for row in rows if row[0].strip("`") in plain))
    for field in Exporter.__struct_fields__:
        value = getattr(Exporter(), field)
        if isinstance(value, msgspec.Struct):
            parts += ["", f"## {field}", "", inspect.getdoc(type(value)) or "", ""]
            parts += _table(head, _settings_rows(value, field + "."))
    return "\n".join(parts) + "\n"


PAGES: Final = {"metrics.md": metrics, "settings.md": settings, "cli.md": commands.page}


def main(arguments: list[str]) -> int:
    """Write the pages; with --check write nothing and return 1 where one is out of step."""
    stale = [name for name, make in PAGES.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != make()]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is out of step: run python -m tests.support.catalogue", file=sys.stderr)
        return int(bool(stale))
    DOCS.mkdir(exist_ok=True)
    for name in stale:
        (DOCS / name).write_text(PAGES[name]())
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
