"""What the shapes of several answers share."""

import msgspec
from msgspec import UNSET, UnsetType

from exporter.web.rows import Rows

Number = float | UnsetType
Whole = int | UnsetType
Text = str | UnsetType


class Pressure(msgspec.Struct, frozen=True):
    """Seconds since boot in which tasks waited for a resource (PSI): some of them, or all that were not idle."""

    waiting_seconds_total: Number = UNSET
    stalled_seconds_total: Number = UNSET


def number(value: float | None) -> Number:
    """Return a value with the digits that are worth telling."""
    return UNSET if value is None else float(f"{value:.9g}")


def whole(value: float | None) -> Whole:
    """Return a count."""
    return UNSET if value is None else int(value)


def text(value: str | None) -> Text:
    """Return a text that is not empty."""
    return value or UNSET


def pressure_of(rows: Rows, resource: str) -> Pressure | UnsetType:
    """Return the pressure on a resource: cpu, memory or io."""
    waiting = rows.one(f"node_pressure_{resource}_waiting_seconds_total")
    stalled = rows.one(f"node_pressure_{resource}_stalled_seconds_total")
    return UNSET if waiting is None and stalled is None else Pressure(number(waiting), number(stalled))
