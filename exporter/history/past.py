"""An hour of values in a table of fixed size."""

import math
import threading
from array import array
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from exporter.history.keys import Key

KEPT_SECONDS: Final = 3600
MAX_COLUMNS: Final = 4096
MAX_SOURCE_COLUMNS: Final = 3840
"""What others than the machine itself may fill: the rest is kept free for cores and file systems."""
MAX_CELLS: Final = 4096 * 720
"""11.8 MB: as many columns as may be at the usual interval of 5 s, fewer where there are more rows."""


class _Table(NamedTuple):
    """Values of many moments, one row a moment, one column a key; NaN is a gap."""

    keys: dict[Key, int]
    """Where in a row the key's value stands."""
    width: int
    """Of a row; what is over the number of keys is room for more."""
    cells: "array[float]"

    def column(self, key: Key) -> "array[float]":
        """Return a key's values, in the order of the rows."""
        return self.cells[self.keys[key] :: self.width]


class Past:
    """An hour of values, 4 bytes a value; its room is taken from the start, so that memory never grows with time.

    Written by one thread at a time, read from any. A row is written in one go: the sampler finds cold caches, where
    what is done once a column costs many times what it costs otherwise.
    """

    def __init__(self, interval: float, seconds: float = KEPT_SECONDS) -> None:
        self._size = max(int(seconds / interval), 1)
        self._max_columns = min(MAX_COLUMNS, MAX_CELLS // self._size)
        self._next = 0
        self._times = array("d", [math.nan]) * self._size
        self._table = _Table({}, 0, array("f"))  # replaced as one: a reader goes over the old one undisturbed
        self._writing = threading.Lock()  # the sampler of settings that are gone may come back from a dead mount

    def add(self, moment: float, values: Mapping[Key, float]) -> None:
        """Keep the values of one moment, by any clock that only goes forward; a key that is missing has a gap there.

        Keys beyond MAX_COLUMNS are left out until others have been silent for the whole time.
        """
        with self._writing:
            place = self._next
            if place == 0:
                self._forget_silent()
            if not values.keys() <= self._table.keys.keys():
                self._admit(values)
            self._times[place] = math.nan  # a reader that meets it now passes it by
            keys, width, cells = self._table
            row = [values.get(key, math.nan) for key in keys] + [math.nan] * (width - len(keys))
            cells[place * width : (place + 1) * width] = array("f", row)
            self._times[place] = moment
            self._next = (place + 1) % self._size

    def _admit(self, wanted: Iterable[Key]) -> None:
        """Give new keys a column each while there may be more."""
        table = self._table
        new = [key for key in wanted if key not in table.keys][: self._max_columns - len(table.keys)]
        keys = table.keys | {key: place for place, key in enumerate(new, len(table.keys))}
        if len(keys) > table.width:
            self._lay_out(keys)
        elif new:
            self._table = table._replace(keys=keys)

    def _forget_silent(self) -> None:
        keys = [key for key in self._table.keys if any(v == v for v in self._table.column(key))]  # noqa: PLR0124 -- NaN
        if len(keys) < len(self._table.keys):
            self._lay_out(keys)

    def _lay_out(self, keys: Iterable[Key]) -> None:
        """Make a table for these keys; those that are known keep their values."""
        old, places = self._table, {key: place for place, key in enumerate(keys)}
        width = min(len(places) * 5 // 4 + 4, self._max_columns)  # room for some: each new table is a copy of it all
        cells = array("f", [math.nan]) * (self._size * width)
        for key in places.keys() & old.keys.keys():
            cells[places[key] :: width] = old.column(key)
        self._table = _Table(places, width, cells)

    def columns(self) -> tuple[Key, ...]:
        """Return the keys that have values."""
        return tuple(self._table.keys)

    def values(self, key: Key) -> list[tuple[float, float]]:
        """Return moments and values of a key, oldest first, gaps left out; nothing for a key that is not kept."""
        table, start = self._table, self._next
        if key not in table.keys:
            return []
        pairs = list(zip(self._times, table.column(key), strict=True))
        return [(moment, value) for moment, value in pairs[start:] + pairs[:start] if not math.isnan(value)]

    def newest(self) -> float | None:
        """Return the newest moment; None where there is none."""
        known = [moment for moment in self._times if not math.isnan(moment)]
        return max(known) if known else None

    def row(self, earliest: float, latest: float) -> tuple[float, dict[Key, float]] | None:
        """Return the newest moment between the two, both included, and its values; None where nothing was kept."""
        within = [(moment, place) for place, moment in enumerate(self._times) if earliest <= moment <= latest]
        if not within:
            return None
        moment, place = max(within)
        keys, width, cells = self._table
        row = cells[place * width : (place + 1) * width]
        if self._times[place] != moment:  # just now overwritten: it was the oldest
            return None
        pairs = zip(keys, row, strict=False)  # of what is room for more no key tells
        return moment, {key: value for key, value in pairs if not math.isnan(value)}
