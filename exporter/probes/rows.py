"""Pages of probes: each subject keeps its own lines, family by family, and makes them anew only when it has changed."""

from collections.abc import Iterable, Sequence

from exporter.exposition import Block, Family, number

Lines = tuple[bytes, ...]
"""One subject's lines for each of the collector's families, in their order; empty where it has none."""


class Subject:
    """What rows are about: its label values, which come first, and the text before each value, made once."""

    __slots__ = ("_labels", "_prefixes")

    def __init__(self, *labels: str) -> None:
        self._labels = labels
        self._prefixes: dict[tuple[str, ...], bytes] = {}

    def line(self, family: Family, value: float | None, *more: str) -> bytes:
        """Return a line, nothing without a value; `more` are label values behind the subject's own.

        A family with fewer labels than the subject has the first of them.
        """
        if value is None:
            return b""
        key = (family.name, *more)
        prefix = self._prefixes.get(key)
        if prefix is None:
            prefix = family.prefix((*self._labels, *more)[: len(family.labels)])
            self._prefixes[key] = prefix
        return prefix + number(value) + b"\n"


def assemble(families: Sequence[Family], subjects: Iterable[Lines]) -> Block:
    """Return the page: every family's heading above the lines of all subjects, families without lines left out."""
    columns = zip(*subjects, strict=True)
    bodies = ((family, b"".join(column)) for family, column in zip(families, columns, strict=False))
    return b"".join(family.header() + body for family, body in bodies if body)
