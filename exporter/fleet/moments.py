"""Moments as programs and people read them; what no calendar has is shown as `-`."""

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60))


def rfc3339(at: float) -> str | None:
    """Return seconds since the epoch as RFC 3339 in UTC; None for a moment that no calendar has."""
    found = _utc(at)
    return None if found is None else f"{found:%Y-%m-%dT%H:%M:%SZ}"


def utc_words(at: float) -> str:
    """Return seconds since the epoch as people read it, in UTC."""
    found = _utc(at)
    return "-" if found is None else f"{found:%Y-%m-%d %H:%M:%S}"


def local_words(at: float) -> str:
    """Return seconds since the epoch as people read it, in the time of this machine."""
    found = _utc(at)
    return "-" if found is None else f"{found.astimezone():%Y-%m-%d %H:%M:%S}"


def ago(seconds: float) -> str:
    """Return how long ago something was, as people say it: 40 s, 12 min, 5 h, 3 d."""
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"


def _utc(at: float) -> datetime | None:
    try:
        found = datetime.fromtimestamp(at, UTC)
        found.astimezone()  # the last hours of the last year are none elsewhere
    except (OverflowError, ValueError, OSError):
        return None
    return found
