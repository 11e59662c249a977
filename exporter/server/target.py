"""What a request asks for: path and query of its target."""

from functools import lru_cache
from typing import Final

import httptools

# longer request targets are not remembered: 256 of the longest would keep 12 MB
MAX_CACHED: Final = 256


def parse_target(target: bytes) -> tuple[str, str]:
    """Return path and query of a request target. Raises ValueError when it is none."""
    return _parse_cached(target) if len(target) <= MAX_CACHED else _parse(target)


def _parse(target: bytes) -> tuple[str, str]:
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError as err:
        raise ValueError("no request target") from err
    return (url.path or b"/").decode(), (url.query or b"").decode()


_parse_cached = lru_cache(maxsize=256)(_parse)
