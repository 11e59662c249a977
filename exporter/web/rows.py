"""The rows of a page in the text format, for those who answer in another one."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(.)")

Labels = Mapping[str, str]


class Rows:
    """The rows of one page, by family; labels and values are read of those families alone that are asked for."""

    def __init__(self, page: bytes) -> None:
        """Take a page of our own exposition: each row has one blank, before its value, outside of label values."""
        self._lines: dict[str, list[str]] = {}
        for line in page.decode().split("\n"):
            if line and line[0] != "#":
                brace = line.find("{")
                name = line[: brace if brace > 0 else line.find(" ")]
                self._lines.setdefault(name, []).append(line)

    def one(self, name: str, **labels: str) -> float | None:
        """Return the value of the first row that has these labels; None where there is none."""
        return next((value for found, value in self.all(name) if labels.items() <= found.items()), None)

    def whole(self, name: str, **labels: str) -> int | None:
        """Return the same as a whole number."""
        value = self.one(name, **labels)
        return None if value is None else int(value)

    def all(self, name: str) -> Iterator[tuple[Labels, float]]:
        """Yield labels and value of each row of a family."""
        for line in self._lines.get(name, ()):
            text, _, value = line.rpartition(" ")
            yield labels_of(text), float(value)

    def by(self, label: str, name: str) -> dict[str, float]:
        """Return the values of a family by one label; of rows that have the same, the last."""
        return {labels.get(label, ""): value for labels, value in self.all(name)}


def labels_of(text: str) -> Labels:
    """Return the labels of a row's name and labels, unescaped (prometheus.io, text format)."""
    return {key: _ESCAPE.sub(_unescaped, value) for key, value in _LABEL.findall(text)} if "{" in text else {}


def _unescaped(match: "re.Match[str]") -> str:
    return "\n" if match[1] == "n" else str(match[1])
