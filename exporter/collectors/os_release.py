"""The distribution's own words about itself (/etc/os-release or /usr/lib/os-release, os-release(5))."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.collectors.watched import WatchedFile
from exporter.exposition import Block, Family, Layout, number
from exporter.kernel import KernelError

_LABELS: Final = (
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
)
INFO: Final = Family("node_os_info", "gauge", "1; name and version of the system in the labels (os-release).", _LABELS)
VERSION: Final = Family(
    "node_os_version",
    "gauge",
    "Version of the system as far as it is a number: major.minor (os-release, VERSION_ID).",
    ("id", "id_like", "name"),
)
SUPPORT_END: Final = Family(
    "node_os_support_end_timestamp_seconds",
    "gauge",
    "Moment its makers end their support, seconds since the epoch (os-release, SUPPORT_END).",
)

MAX_BYTES: Final = 65536
_PLACES: Final = ("etc/os-release", "usr/lib/os-release")
_ASSIGNMENT: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?')
_SINGLE: Final = re.compile(r"'([^']*)'[ \t]*(?:#.*)?")
_PLAIN: Final = re.compile(r"""([^"'\\#]*?)[ \t]*(?:[ \t]#.*)?""")
_ESCAPE: Final = re.compile(r"\\(.)")
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MAJOR_MINOR: Final = re.compile(r"[0-9]+\.?[0-9]*")


class OsRelease:
    """Name, version and end of support of the operating system below `root`."""

    name: ClassVar[str] = "os"
    families: ClassVar[tuple[Family, ...]] = (INFO, VERSION, SUPPORT_END)
    blocking: ClassVar[bool] = False

    def __init__(self, root: Path = Path("/")) -> None:
        self._sources = [WatchedFile(str(root / place), MAX_BYTES) for place in _PLACES]
        self._text: bytes | None = None
        self._block = b""

    def collect(self) -> Block:
        """Return the rows. Raises NoData where there is no such file, KernelError when it cannot be understood."""
        source, text = self._read()
        if text is not self._text:
            self._block = render(parse_os_release(text, source.path))
            self._text = text
        return self._block

    def _read(self) -> tuple[WatchedFile, bytes]:
        for source in self._sources:
            try:
                return source, source.read()
            except FileNotFoundError:
                continue
        raise NoData("no os-release")


def render(fields: dict[str, str]) -> Block:
    """Return the rows of these fields. Raises KernelError when SUPPORT_END is no date."""
    labels = [fields.get(label.upper(), "") for label in _LABELS]
    rows: list[tuple[Family, list[tuple[str, ...]]]] = [(INFO, [tuple(labels)])]
    values = [b"1"]
    version = _MAJOR_MINOR.match(fields.get("VERSION_ID", ""))
    if version and float(version[0]) > 0:
        rows.append((VERSION, [(fields.get("ID", ""), fields.get("ID_LIKE", ""), fields.get("NAME", ""))]))
        values.append(number(float(version[0])))
    if support_end := fields.get("SUPPORT_END", ""):
        rows.append((SUPPORT_END, [()]))
        values.append(number(parse_date(support_end)))
    return Layout(rows).fill(values)


def parse_date(text: str) -> int:
    """Return the start of a day YYYY-MM-DD in UTC, seconds since the epoch. Raises KernelError."""
    match = _DATE.fullmatch(text)
    try:
        year, month, day = map(int, match.groups() if match else ())
        return int(datetime(year, month, day, tzinfo=UTC).timestamp())
    except ValueError as err:
        raise KernelError(f"os-release: expected SUPPORT_END=YYYY-MM-DD, got {text!r}") from err


def parse_os_release(text: bytes, path: str) -> dict[str, str]:
    """Return the variables of an os-release file: assignments as a shell reads them, without expansion.

    Raises KernelError naming file and line when one is no assignment, and when there is none at all.
    """
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError as err:
        raise KernelError(f"{path}: expected UTF-8: {err}") from err
    out: dict[str, str] = {}
    for count, line in enumerate(lines, 1):
        bare = line.strip()
        if bare and not bare.startswith("#"):
            assignment = _ASSIGNMENT.fullmatch(bare)
            value = _unquote(assignment[2]) if assignment else None
            if assignment is None or value is None:
                raise KernelError(f"{path}, line {count}: expected NAME=value, got {line[:80]!r}")
            out[assignment[1]] = value
    if not out:
        raise KernelError(f"{path}: expected NAME=value, got an empty file")
    return out


def _unquote(value: str) -> str | None:
    """Return what a shell would take the value for, None when its quotes do not match."""
    if match := _DOUBLE.fullmatch(value):
        return _ESCAPE.sub(r"\1", match[1])
    match = _SINGLE.fullmatch(value) or _PLAIN.fullmatch(value)
    return match[1] if match else None
