"""Files of fields, of which the settings want a few: found again without parsing while the file keeps its shape."""

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from exporter.kernel import KernelError

_DIGITS: Final = b"0123456789"
_LINE: Final = re.compile(rb"([A-Za-z0-9_]+)([ \t]+)(\d+)")
_NUMBER: Final = re.compile(rb"-?\d+")
_NAMES: Final = re.compile(rb"[A-Za-z0-9]+:(?: [A-Za-z0-9_]+)+")


class _Run(NamedTuple):
    """Wanted lines that follow each other: how they begin, and what matches them."""

    start: bytes
    pattern: re.Pattern[bytes]


class FieldLines:
    """The wanted ones among lines of `key number` (/proc/vmstat, /proc/net/snmp6)."""

    def __init__(self, path: str, is_wanted: Callable[[str], bool]) -> None:
        self._path = path
        self._is_wanted = is_wanted
        self._shape: bytes | None = None
        self._runs: list[_Run] = []
        self.keys: Sequence[str] = ()
        """The wanted fields, in the order of the file; another object when they changed."""

    def read(self, text: bytes) -> list[bytes]:
        """Return the digits of each of `keys`, which it brings up to date.

        Raises KernelError naming the first line that is not `key number`.
        """
        shape = text.translate(None, _DIGITS)
        values = self._find(text) if shape == self._shape else None
        if values is None:
            self._shape = None  # an error below must not leave a shape that belongs to no fields
            values = self._parse(text)
            self._shape = shape
        return values

    def _find(self, text: bytes) -> list[bytes] | None:
        """Return the values where the lines stand as they stood, None when a key has other digits in its name."""
        text = b"\n" + text
        out: list[bytes] = []
        for run in self._runs:
            match = run.pattern.match(text, max(text.find(run.start), 0))
            if match is None:
                return None
            out += match.groups()
        return out

    def _parse(self, text: bytes) -> list[bytes]:
        lines = text.split(b"\n")
        if lines.pop() or not lines:
            raise KernelError(f"{self._path}: expected whole lines, got {text[-80:]!r}")
        fields = [self._parse_line(line) for line in lines]
        if len({key for key, _, _ in fields}) != len(fields):
            raise KernelError(f"{self._path}: expected fields, each once")
        marked = [(self._is_wanted(key.decode()), key, gap, value) for key, gap, value in fields]
        groups = [
            [(key, gap) for _, key, gap, _ in group] for wanted, group in groupby(marked, itemgetter(0)) if wanted
        ]
        self._runs = [_run(group) for group in groups]
        keys = [key.decode() for wanted, key, _, _ in marked if wanted]
        if keys != self.keys:
            self.keys = keys
        return [value for wanted, _, _, value in marked if wanted]

    def _parse_line(self, line: bytes) -> tuple[bytes, bytes, bytes]:
        match = _LINE.fullmatch(line)
        if match is None:
            raise KernelError(f"{self._path}: expected `key number`, got {line[:80]!r}")
        key, gap, value = match.groups()
        return key, gap, value


def _run(fields: list[tuple[bytes, bytes]]) -> _Run:
    lines = [b"\n" + re.escape(key + gap) + rb"(\d+)" for key, gap in fields]
    return _Run(b"\n" + b"".join(fields[0]), re.compile(b"".join(lines) + b"\n"))


class FieldTable:
    """The wanted ones among pairs of lines, names above numbers (/proc/net/snmp, /proc/net/netstat)."""

    def __init__(self, path: str, is_wanted: Callable[[str], bool]) -> None:
        self._path = path
        self._is_wanted = is_wanted
        self._headings: list[bytes] = []
        self._lines: list[bytes | None] = []
        self._columns: list[list[int]] = []
        self._widths: list[int] = []
        self._values: list[list[bytes]] = []
        self.keys: Sequence[str] = ()
        """The wanted fields as PROTOCOL_NAME, in the order of the file; another object when they changed."""

    def read(self, text: bytes) -> list[bytes]:
        """Return the number of each of `keys`, which it brings up to date.

        Raises KernelError when the file is cut short, or numbers do not fit the names above them.
        """
        lines = text.split(b"\n")
        headings, values = lines[:-1:2], lines[1::2]
        if lines[-1] or len(headings) != len(values) or not headings:
            raise KernelError(f"{self._path}: expected pairs of whole lines, got {text[-80:]!r}")
        if headings != self._headings:
            self._rebuild(headings)
        for index, line in enumerate(values):
            if line != self._lines[index]:
                self._values[index] = self._parse(index, line)
                self._lines[index] = line
        return [value for row in self._values for value in row]

    def _rebuild(self, headings: list[bytes]) -> None:
        self._headings = []  # an error below must not leave names that belong to no columns
        keys: list[str] = []
        self._columns = []
        for heading in headings:
            if _NAMES.fullmatch(heading) is None:
                raise KernelError(f"{self._path}: expected a protocol and names, got {heading[:80]!r}")
            protocol, *names = heading.decode().split(" ")
            full = [f"{protocol[:-1]}_{name}" for name in names]
            wanted = [column for column, key in enumerate(full) if self._is_wanted(key)]
            self._columns.append(wanted)
            keys += [full[column] for column in wanted]
        if len(set(keys)) != len(keys):
            raise KernelError(f"{self._path}: expected names, each once")
        self._widths = [heading.count(b" ") for heading in headings]
        self._values = [[] for _ in headings]
        self._lines = [None] * len(headings)
        if keys != self.keys:
            self.keys = keys
        self._headings = headings

    def _parse(self, index: int, line: bytes) -> list[bytes]:
        protocol = self._headings[index].partition(b" ")[0]
        label, *fields = line.split(b" ")
        if label != protocol or len(fields) != self._widths[index]:
            raise KernelError(f"{self._path}: expected the numbers of {protocol.decode()}, got {line[:80]!r}")
        wanted = [fields[column] for column in self._columns[index]]
        if wanted and not b"".join(wanted).isdigit() and not all(map(_NUMBER.fullmatch, wanted)):
            raise KernelError(f"{self._path}: expected numbers, got {line[:80]!r}")
        return wanted
