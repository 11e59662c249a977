"""The Prometheus text format 0.0.4, and Layout: static text prepared once, values put between at each scrape.

Everything is bytes from end to end, so that digits of kernel files pass through as they are and a page is one join.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

Block = bytes
"""Lines of the text format, whole families each, as one collector gives them."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Family(NamedTuple):
    """One metric family: its name (which carries the unit), type, help and label names."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "untyped"]
    help: str
    labels: tuple[str, ...] = ()

    def header(self) -> bytes:
        """Return the HELP and TYPE lines."""
        text = self.help.replace("\\", "\\\\").replace("\n", "\\n")
        return f"# HELP {self.name} {text}\n# TYPE {self.name} {self.kind}\n".encode()

    def prefix(self, values: Sequence[str]) -> bytes:
        """Return a sample's line up to its value; `values` are label values in the order of `labels`.

        Raises ValueError when their number differs from that of the label names.
        """
        return self.name.encode() + self.labelled(values)

    def labelled(self, values: Sequence[str]) -> bytes:
        """Return what stands between the name and the value; raises as `prefix` does."""
        pairs = zip(self.labels, values, strict=True)
        text = ",".join(f'{name}="{escape(value)}"' for name, value in pairs)
        return f"{{{text}}} ".encode() if text else b" "


def escape(value: str) -> str:
    """Return a label value as it stands between quotes; lone surrogates become visible escapes."""
    if not value.isprintable() or "\\" in value or '"' in value:
        value = value.encode("utf-8", "backslashreplace").decode()
        value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def text_of(raw: bytes) -> str:
    """Return kernel bytes as text for a label; bytes that are no UTF-8 become escapes: no two names collapse."""
    return raw.decode("utf-8", "backslashreplace")


def number(value: float) -> bytes:
    """Return the shortest text that reads back as `value`."""
    if isinstance(value, int):
        return b"%d" % value
    if math.isfinite(value):
        return b"%d" % value if value.is_integer() and abs(value) < 1e15 else b"%r" % value
    return b"NaN" if math.isnan(value) else b"+Inf" if value > 0 else b"-Inf"


class Layout:
    """The samples of one collector: names and labels fixed when it is made, values put in at each scrape.

    `samples` are families with the label values of each of their samples, in the order of the page. Slots count
    from 0 in that order; a family without samples leaves nothing behind.
    """

    __slots__ = ("_parts", "_rendered", "size")

    def __init__(self, samples: Iterable[tuple[Family, Iterable[Sequence[str]]]]) -> None:
        parts: list[bytes] = []
        # the same devices in thirty families: what they are called is written once
        texts: dict[tuple[str, ...], dict[tuple[str, ...], bytes]] = {}
        for family, keys in samples:
            known = texts.setdefault(family.labels, {})
            static, name = family.header(), family.name.encode()
            for key in map(tuple, keys):
                text = known.get(key)
                if text is None:
                    text = known[key] = family.labelled(key)
                parts.append((b"\n" if parts else b"") + static + name + text)
                parts.append(b"NaN")
                static = b""
        self.size = len(parts) // 2
        if parts:
            parts.append(b"\n")
        self._parts = parts
        self._rendered: bytes | None = None

    @classmethod
    def grid(cls, families: Sequence[Family], keys: Sequence[Sequence[str]]) -> "Layout":
        """Return a layout in which every family has one sample for each of `keys`; see `row`."""
        return cls((family, keys) for family in families)

    @staticmethod
    def row(index: int, keys: int, families: int) -> slice:
        """Return where in a grid of `keys` keys, first in a layout, the values of key `index` stand, one a family."""
        return slice(1 + 2 * index, 1 + 2 * keys * families, 2 * keys)

    @staticmethod
    def span(start: int, count: int) -> slice:
        """Return where `count` values from slot `start` on stand."""
        return slice(1 + 2 * start, 1 + 2 * (start + count), 2)

    def put(self, where: slice, values: Sequence[bytes]) -> None:
        """Put rendered values at a `row` or a `span`. Raises ValueError when their number does not fit."""
        self._parts[where] = values
        self._rendered = None

    def put_one(self, slot: int, value: bytes) -> None:
        """Put one rendered value."""
        self._parts[1 + 2 * slot] = value
        self._rendered = None

    def render(self) -> Block:
        """Return the text with the values put last; the same object as long as nothing was put."""
        if self._rendered is None:
            self._rendered = b"".join(self._parts)
        return self._rendered

    def fill(self, values: Sequence[bytes]) -> Block:
        """Put all values, in the order of the samples, and return the text."""
        self._parts[1::2] = values
        self._rendered = None
        return b"".join(self._parts)
