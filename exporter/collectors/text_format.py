"""Reads the Prometheus text format 0.0.4 of others, strictly: what comes out can stand on our page.

Only a newline ends a line; white space is blank and tab; a timestamp makes the text bad.
"""

import math
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from exporter.exposition import escape, number

Labels = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

KINDS: Final = ("counter", "gauge", "histogram", "summary", "untyped")
_SUFFIXES: Final = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
_BOUND_LABEL: Final = {"histogram": "le", "summary": "quantile"}

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_COMMENT: Final = re.compile(r"#[ \t]*(HELP|TYPE)[ \t]+([^ \t]+)[ \t]*(.*)", re.DOTALL)
_LABEL: Final = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\[\\"n])*+)"[ \t]*')
_VALUE: Final = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?inf(?:inity)?|nan", re.IGNORECASE | re.ASCII
)
_ESCAPED: Final = re.compile(r'\\([\\"n])')
_HELP: Final = re.compile(r"(?:[^\\]|\\[\\n])*+")


class FormatError(Exception):
    """The text is not what it should be; says the line."""


class Sample(NamedTuple):
    """One row: the name it stands under, its labels, its value as text."""

    name: str
    labels: Labels
    value: bytes

    def line(self) -> bytes:
        """Return the row as it stands on a page."""
        pairs = ",".join(f'{name}="{escape(value)}"' for name, value in self.labels)
        return (f"{self.name}{{{pairs}}} " if pairs else f"{self.name} ").encode() + self.value + b"\n"


class ForeignFamily:
    """One family of somebody else's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind: str | None = None
        self.help: str | None = None
        self.samples: list[Sample] = []

    def sample_names(self) -> tuple[str, ...]:
        """Return every name that its rows may stand under."""
        return self.name, *(self.name + suffix for suffix in _SUFFIXES.get(self.kind or "untyped", ()))

    def header(self, text: str) -> bytes:
        """Return the HELP line with this text and the TYPE line."""
        text = text.replace("\\", "\\\\").replace("\n", "\\n")
        return f"# HELP {self.name} {text}\n# TYPE {self.name} {self.kind or 'untyped'}\n".encode()


def parse(data: bytes) -> list[ForeignFamily]:
    """Return the families that have rows, in the order of the text. Raises FormatError with the line's number."""
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as err:
        raise FormatError(f"expected UTF-8: {err}") from err
    if lines.pop():
        raise FormatError(f"line {len(lines) + 1}: expected a newline at the end")
    families: dict[str, ForeignFamily] = {}
    owners: dict[str, ForeignFamily] = {}
    for count, line in enumerate(lines, 1):
        try:
            _parse_line(line.lstrip(" \t"), families, owners)
        except ValueError as err:
            raise FormatError(f"line {count}: {err}, got {line[:80]!r}") from err
    found = [family for family in families.values() if family.samples]
    for family in found:
        if family.kind == "histogram":
            family.samples += list(_missing_buckets(family))
    return found


def _parse_line(line: str, families: dict[str, ForeignFamily], owners: dict[str, ForeignFamily]) -> None:
    if line.startswith("#"):
        if match := _COMMENT.fullmatch(line):
            _parse_comment(match, families, owners)
    elif line:
        name, labels, value = _parse_sample(line.rstrip(" \t"))
        family = owners.get(name) or families.get(name)
        if family is None:
            family = families[name] = ForeignFamily(name)
        family.samples.append(Sample(name, _checked(family, name, labels), value))


def _parse_comment(match: re.Match[str], families: dict[str, ForeignFamily], owners: dict[str, ForeignFamily]) -> None:
    keyword, name, rest = match.groups()
    if _NAME.fullmatch(name) is None:
        raise ValueError("expected the name of a metric")
    family = families.setdefault(name, ForeignFamily(name))
    if keyword == "HELP":
        if family.help is not None:
            raise ValueError("expected one HELP line for each metric")
        if _HELP.fullmatch(rest) is None:
            raise ValueError("expected only the escapes \\\\ and \\n")
        family.help = _ESCAPED.sub(_unescape, rest)
    elif rest:
        if family.kind is not None or family.samples:
            raise ValueError("expected one TYPE line for each metric, before its rows")
        if rest.lower() not in KINDS:
            raise ValueError(f"expected one of {', '.join(KINDS)}")
        family.kind = rest.lower()
        owners.update(dict.fromkeys(family.sample_names(), family))


def _parse_sample(line: str) -> tuple[str, dict[str, str], bytes]:
    match = _NAME.match(line)
    if match is None:
        raise ValueError("expected the name of a metric")
    rest = line[match.end() :].lstrip(" \t")
    labels: dict[str, str] = {}
    if rest.startswith("{"):
        end, labels = _parse_labels(rest, 1)
        rest = rest[end:].lstrip(" \t")
    elif line[match.end() : match.end() + 1] not in (" ", "\t"):
        raise ValueError("expected a space after the name")
    return match[0], labels, number(parse_value(rest))


def _parse_labels(text: str, start: int) -> tuple[int, dict[str, str]]:
    """Return where the closing brace ends, and the labels."""
    labels: dict[str, str] = {}
    while match := _LABEL.match(text, start):
        name, value = match.groups()
        if name in labels or name == "__name__":
            raise ValueError(f"expected each label once and no __name__, not {name}")
        labels[name] = _ESCAPED.sub(_unescape, value)
        start = match.end()
        if not text.startswith(",", start):
            break
        start += 1
    blank = len(text[start:]) - len(text[start:].lstrip(" \t"))
    if not text.startswith("}", start + blank):
        raise ValueError('expected label="value" and a closing brace')
    return start + blank + 1, labels


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def parse_value(text: str) -> float:
    """Return the number. Raises ValueError for anything behind it, and for one so large that it would be infinity."""
    if _VALUE.fullmatch(text) is None:
        raise ValueError("expected a number and no timestamp")
    value = float(text)
    if math.isinf(value) and "i" not in text.lower():
        raise ValueError("expected a number that fits")
    return value


def _checked(family: ForeignFamily, name: str, labels: dict[str, str]) -> Labels:
    """Return the labels sorted; a bucket's bound and a quantile in their usual form, which makes them comparable."""
    bound = _BOUND_LABEL.get(family.kind or "")
    if bound and name == family.name + ("_bucket" if bound == "le" else ""):
        labels[bound] = bound_text(parse_value(labels.get(bound, "")))
    elif bound and name == family.name:
        raise ValueError("expected no row of this name in a histogram")
    return tuple(sorted(labels.items()))


def _missing_buckets(family: ForeignFamily) -> Iterator[Sample]:
    """Yield the bucket of everything, which is the count, where a histogram left it out."""
    bucket = family.name + "_bucket"
    present = {sample.labels for sample in family.samples if sample.name == bucket}
    for sample in family.samples:
        labels = tuple(sorted((*sample.labels, ("le", "+Inf"))))
        if sample.name == family.name + "_count" and labels not in present:
            yield Sample(bucket, labels, sample.value)


def bound_text(value: float) -> str:
    """Return a bound as Prometheus' Go libraries write it: six digits before they change to an exponent."""
    text = number(value).decode()
    if math.isfinite(value) and "e" not in text and abs(value) >= 1e6:
        digits = text.lstrip("-").replace(".", "").rstrip("0")
        exponent = len(text.lstrip("-").partition(".")[0]) - 1
        fraction = f".{digits[1:]}" if digits[1:] else ""
        return f"{'-' if value < 0 else ''}{digits[0]}{fraction}e+{exponent:02d}"
    return text
