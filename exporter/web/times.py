"""Moments as programs write them: RFC 3339, or seconds since the epoch."""

import math
import re
from typing import Final

_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
# a + in a query that nobody escaped arrives as a blank
_LOST_PLUS: Final = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}$)", re.ASCII)
_LAST: Final = 253402300799.0
"""The end of the year 9999, the last that RFC 3339 can write; milliseconds since the epoch are beyond it since 1978."""

EXPECTED: Final = "a time such as 2026-11-21T03:00:00Z, or seconds since the epoch"


def parse_time(text: str) -> float:
    """Return the moment that a text means, seconds since the epoch. Raises ValueError saying what was expected."""
    seconds, hint = math.nan, ""
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        hint = "; are these milliseconds?" if _LAST < seconds < _LAST * 1000 else ""
    else:
        plus = _LOST_PLUS.sub("+", text) if text.count(":") == 3 else text
        if _DATE_TIME.fullmatch(plus):
            seconds, hint = _timestamp(plus.upper())
    if not 0 <= seconds <= _LAST:
        raise ValueError(f"expected {EXPECTED}, got {text[:40]!r}{hint}")
    return seconds


def _timestamp(text: str) -> tuple[float, str]:
    """Return the seconds that a date and time means, or NaN and what is wrong with it."""
    from datetime import datetime  # noqa: PLC0415 -- memory: for whoever asks only

    try:
        return datetime.fromisoformat(text).timestamp(), ""
    except (ValueError, OverflowError) as err:
        return math.nan, f": {err}"


def rfc3339(seconds: float) -> str:
    """Return a moment, seconds since the epoch, in UTC; with milliseconds where it has any."""
    from datetime import UTC, datetime  # noqa: PLC0415 -- memory: for whoever asks only

    text = datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + "Z"
