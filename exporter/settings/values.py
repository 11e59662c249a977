"""The kinds of value a settings file holds beyond YAML's own: durations, regular expressions, addresses."""

import re
from functools import cached_property
from typing import Final, TypeVar

import msgspec

# twelve digits: more would be too much for a float before the limit below can tell
_DURATION: Final = re.compile(
    r"(?:(\d{1,12})d)?(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,12})s)?(?:(\d{1,12})ms)?", re.ASCII
)
_DURATION_SECONDS: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)
DURATION_PATTERN: Final = r"^(?=\d)(\d{1,12}d)?(\d{1,12}h)?(\d{1,12}m)?(\d{1,12}s)?(\d{1,12}ms)?$"
MAX_DAYS: Final = 366
DURATION_EXPECTED: Final = "a duration such as 15s, 250ms or 1m30s"

MAX_SHOWN: Final = 80
_PORT: Final = re.compile("[0-9]{1,5}")

T = TypeVar("T")


class Duration(float):
    """A length of time in seconds, written like Prometheus writes it: 15s, 250ms, 1m30s, 1h, 2d."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Return the duration that `text` writes, in seconds. Raises ValueError saying what was expected."""
        match = _DURATION.fullmatch(text)
        if not text or match is None:
            raise ValueError(f"expected {DURATION_EXPECTED}, got {shown(text)}")
        seconds = sum(int(n) * unit for n, unit in zip(match.groups(), _DURATION_SECONDS, strict=True) if n)
        if seconds > MAX_DAYS * 86400:
            raise ValueError(f"expected at most {MAX_DAYS}d, got {shown(text)}")
        return cls(seconds)

    def __str__(self) -> str:
        return f"{round(self * 1000)}ms" if self % 1 else f"{int(self)}s"


class Regex(str):
    """A regular expression that compiles (Python's re; RE2's common part behaves the same)."""

    __slots__ = ("__dict__",)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The compiled expression."""
        return re.compile(self)


def default(value: T) -> T:
    """Declare a default of a kind that msgspec does not write into a JSON Schema by itself; `schema` does."""
    field: T = msgspec.field(default_factory=lambda: value)
    return field


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `ADDRESS:PORT`; IPv6 in brackets, an empty address means all.

    Raises ValueError saying what was expected.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535 or (":" in host and bare == host):
        raise ValueError(f"expected ADDRESS:PORT such as 127.0.0.1:10101 or [::1]:10101, got {shown(text)}")
    return bare, int(port)


def shown(value: object) -> str:
    """Return a value as an error message shows it: quoted, and not longer than a line."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def above_zero(settings: msgspec.Struct, *names: str) -> None:
    """Refuse durations of nothing."""
    for name in names:
        if getattr(settings, name) <= 0:
            raise ValueError(f"{name}: expected more than 0s")
