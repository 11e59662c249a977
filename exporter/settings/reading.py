"""Reading a settings file strictly: a wrong key, type or value names file, line, key and what was expected.

YAML is read with YAML 1.2's core types, so that `no`, `on` and `12:30` are texts, not a boolean and a number.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeGuard, TypeVar, Union, get_args, get_origin

import msgspec

from exporter.settings.values import DURATION_EXPECTED, Duration, Regex, shown

if TYPE_CHECKING:
    import yaml

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 50_000
MAX_KEY: Final = 200

_COLLECTIONS: Final = frozenset({"tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"})

S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(Exception):
    """A settings file cannot be used; each of `problems` names the file, the place and what was expected there."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: Path, kind: type[S]) -> S:
    """Return the settings in the YAML file `path` (an empty file means all defaults). Reads the file.

    Raises SettingsError naming the file, the line, the key and what was expected there.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise SettingsError(f"{path}: cannot be read: {err.strerror}") from err
    return parse(data, kind, str(path))


def override(settings: S, given: Mapping[str, object]) -> S:
    """Return the settings with what the command line said on top: dotted keys, None for what it did not say.

    Raises SettingsError naming the key and what was expected there.
    """
    for key, value in given.items():
        if value is not None:
            above, dot, _ = key.rpartition(".")
            try:
                settings = _with(settings, key.split("."), value)
            except ValueError as err:  # a Struct's own check, which names the last part of the key itself
                raise SettingsError(f"command line: {above}{dot}{err}") from err
    return settings


def _with(settings: S, path: list[str], value: object) -> S:
    below = value if len(path) == 1 else _with(getattr(settings, path[0]), path[1:], value)
    return msgspec.structs.replace(settings, **{path[0]: below})


def parse(data: bytes, kind: type[S], name: str) -> S:
    """Return the settings that the YAML text `data` holds; `name` stands for the file in errors."""
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{name}: expected at most {MAX_BYTES} bytes")
    plain, lines = _plain(data, name)
    try:
        return msgspec.convert({} if plain is None else plain, kind, dec_hook=_decode_own)
    except msgspec.ValidationError as err:
        raise SettingsError(_problem(str(err), kind, name, lines)) from err


def _decode_own(kind: type, value: object) -> object:
    """Build the types that msgspec does not know."""
    if kind is Duration:
        if not isinstance(value, str):
            raise ValueError(f"expected {DURATION_EXPECTED}, got {shown(value)}")
        return Duration.parse(value)
    if kind is Regex:
        if not isinstance(value, str):
            raise ValueError(f"expected a regular expression, got {shown(value)}")
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as err:
            raise ValueError(f"expected a regular expression, got {shown(value)}: {err}") from err
        return Regex(value)
    raise NotImplementedError(kind)


def _field_at(kind: type[msgspec.Struct], path: str) -> tuple[type[msgspec.Struct], object]:
    """Return the struct that the last key of `path` stands in, and that key's type where it is known."""
    holder: type[msgspec.Struct] = kind
    found: object = kind
    for key in re.split(r"[.\[]", path):
        if key.endswith("]"):  # a place in a list, or any key of a mapping
            found = _present(get_args(found)[-1 if get_origin(found) is dict else 0]) if get_args(found) else None
            continue
        if not key or not _is_struct(found):
            break
        holder = found
        found = next((_present(f.type) for f in msgspec.structs.fields(holder) if f.encode_name == key), None)
    return holder, found


def _present(kind: object) -> object:
    """Return a type without its limits, and without the None that says that it may be left out.

    Of a struct and its short form, which is none, it is the struct.
    """
    if get_origin(kind) is Annotated:
        return _present(get_args(kind)[0])
    if not isinstance(kind, UnionType) and get_origin(kind) is not Union:
        return kind
    others = [_present(part) for part in get_args(kind) if part is not type(None)]
    structs = [part for part in others if _is_struct(part)]
    return others[0] if len(others) == 1 else structs[0] if structs else kind


def _expected(kind: type[msgspec.Struct], path: str, what: str) -> str:
    """Say in a user's words what belongs at `path` of the settings `kind`."""
    holder, found = _field_at(kind, path)
    if what.startswith("Object contains unknown field"):
        known = sorted(f.encode_name for f in msgspec.structs.fields(holder))
        from difflib import get_close_matches  # noqa: PLC0415 -- for a mistake only

        near = get_close_matches(path.rpartition(".")[2], known, 1)
        return "unknown key" + (f", did you mean {near[0]}?" if near else f", expected one of {', '.join(known)}")
    if missing := re.fullmatch("Object missing required field `(.*)`", what):
        return f"expected the key {missing[1]} in it"
    if what.startswith("Invalid enum value"):
        return f"expected one of {', '.join(map(str, get_args(found)))}, got {what.removeprefix('Invalid enum value ')}"
    if not what.startswith("Expected"):
        return what  # ours already, perhaps with a user's own words in it
    for theirs, ours in _WORDS:
        what = re.sub(theirs, ours, what)
    return what


_WORDS: Final = (
    ("`", ""),
    ("^Expected", "expected"),
    (r"\bobject\b", "a mapping"),
    (r"\barray\b", "a list"),
    (r"\bstr\b", "a text"),
    (r"\bbool\b", "true or false"),
    (r"\bint\b", "a whole number"),
    (r"\bfloat\b", "a number"),
    (r"\bnull\b", "nothing"),
    (" [|] nothing", ""),
)


def _problem(message: str, kind: type[msgspec.Struct], name: str, lines: dict[str, int]) -> str:
    """Turn msgspec's "what - at `$.path`" into `file:line: path: what was expected`."""
    what, at, where = message.rpartition(" - at `")
    if not at:
        what, where = message, ""
    path = where.rstrip("`").removeprefix("$").removeprefix(".")
    if unknown := re.fullmatch(r"(?s)Object contains unknown field `(.*)`", what):
        path = f"{path}.{unknown[1]}" if path else unknown[1]
    else:
        path, what = _deeper(kind, path, what)
        key, colon, rest = what.partition(": ")
        if colon and f"{path}.{key}" in lines:  # a key of a mapping, named by the check of the struct that holds it
            path, what = f"{path}.{key}", rest
    return f"{_place(name, lines, path)}: {_expected(kind, path, what)}"


def _place(name: str, lines: Mapping[str, int], path: str) -> str:
    line = lines.get(path) or lines.get(path.rpartition(".")[0])  # a key that is missing: where it would stand
    return f"{name if line is None else f'{name}:{line}'}: {path or 'top level'}"


def place_of(file: Path, path: str) -> str:
    """Return how errors name a key of a settings file that could be read: file, line and key. Reads the file."""
    try:
        return _place(str(file), _plain(file.read_bytes(), str(file))[1], path)
    except (OSError, SettingsError):  # it has changed since: its line is not known, and the error is another
        return _place(str(file), {}, path)


def _deeper(kind: type[msgspec.Struct], path: str, what: str) -> tuple[str, str]:
    """Move the key that a struct's own check names, as in "listen: expected ...", from the text to the path."""
    _, found = _field_at(kind, path)
    key, colon, rest = what.partition(": ")
    known = [f.encode_name for f in msgspec.structs.fields(found)] if _is_struct(found) else []
    return (f"{path}.{key}".lstrip("."), rest) if colon and key in known else (path, what)


def _is_struct(kind: object) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _plain(data: bytes, name: str) -> tuple[object, dict[str, int]]:
    """Return the YAML document as plain lists, dicts and scalars, and the line of each key's path."""
    import yaml  # noqa: PLC0415 -- 1.5 MB that a daemon without a settings file does not need

    try:
        _check_depth(data, name)
        node = yaml.compose(data, Loader=_loader())
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark
        place = f"{name}:{mark.line + 1}" if mark is not None else name
        what = ", ".join(part for part in (err.context, err.problem) if part)
        raise SettingsError(f"{place}: not valid YAML: {what}") from err
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as err:
        raise SettingsError(f"{name}: not valid YAML: {str(err).splitlines()[0]}") from err
    lines: dict[str, int] = {}
    return (None if node is None else _value(node, "", name, lines, 0)), lines


def _check_depth(data: bytes, name: str) -> None:
    """Refuse a text that is nested too deep: composing it would exhaust the C stack and end the process."""
    import yaml  # noqa: PLC0415 -- see _plain

    depth = 0
    for event in yaml.parse(data, Loader=_loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark is not None else 0
                raise SettingsError(f"{name}:{line}: expected at most {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _value(node: "yaml.Node", path: str, name: str, lines: dict[str, int], depth: int) -> object:
    """Return the value of one YAML node; notes the line of every path below it."""
    import yaml  # noqa: PLC0415 -- see _plain

    lines.setdefault(path, node.start_mark.line + 1)
    if len(lines) > MAX_VALUES:  # a few aliases of aliases make billions of values
        raise SettingsError(f"{name}: expected at most {MAX_VALUES} values, aliases counted where they are used")
    if depth > MAX_DEPTH:
        raise SettingsError(f"{name}:{lines[path]}: {path}: expected at most {MAX_DEPTH} levels")
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
        raise SettingsError(f"{name}:{lines[path]}: {path}: expected a plain value, got the tag {shown(node.tag)}")
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{path}[{i}]", name, lines, depth + 1) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, name, lines, depth)
    return _scalar(node, path, name)


def _mapping(node: "yaml.MappingNode", path: str, name: str, lines: dict[str, int], depth: int) -> dict[str, object]:
    out: dict[str, object] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key.value, str):
            raise SettingsError(f"{name}:{line}: {path or 'top level'}: expected a text as key")
        if len(key.value) > MAX_KEY:
            raise SettingsError(f"{name}:{line}: {path or 'top level'}: expected keys of at most {MAX_KEY} characters")
        below = f"{path}.{key.value}" if path else key.value
        if key.value in out:
            raise SettingsError(f"{name}:{line}: {below}: key repeated, first seen on line {lines[below]}")
        lines[below] = line
        out[key.value] = _value(value, below, name, lines, depth + 1)
    return out


def _scalar(node: "yaml.Node", path: str, name: str) -> object:
    text: str = node.value
    try:
        return _SCALARS[node.tag](text)
    except (KeyError, ValueError) as err:  # a tag that we do not know, or one written before what is no such value
        line = node.start_mark.line + 1
        raise SettingsError(f"{name}:{line}: {path}: expected a plain value, got the tag {shown(node.tag)}") from err


_SCALARS: Final[dict[str, Callable[[str], object]]] = {
    "tag:yaml.org,2002:null": lambda _: None,
    "tag:yaml.org,2002:bool": lambda text: {"true": True, "false": False}[text.lower()],
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:str": str,
}


def _loader() -> "type[yaml.CSafeLoader | yaml.SafeLoader]":
    """Return a loader with YAML 1.2's core types only: of 1.1 it lacks yes/no/on/off, 12:30, 0777, dates and merges."""
    import yaml  # noqa: PLC0415 -- see _plain

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 -- PyYAML's own way

    for tag, pattern, first in (
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("int", r"^[-+]?(?:0|[1-9][0-9]{0,17})$", "-+0123456789"),
        ("float", r"^[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?$", "-+0123456789"),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))
    return Loader
