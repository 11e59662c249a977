"""Attempts of checks, as the engine makes them, without an engine."""

import asyncio
import json
from typing import Any, TypeVar

import msgspec

from exporter.probes.attempt import Attempt
from exporter.probes.check import Check
from exporter.settings.reading import parse

TIMEOUT = 5.0

S = TypeVar("S", bound=msgspec.Struct)


def settings(kind: type[S], **given: Any) -> S:
    """Return a check's settings as they are read from a file."""
    return parse(json.dumps({"name": "test", **given}).encode(), kind, "test.yml")


async def attempt(check: Check, seconds: float = TIMEOUT) -> Attempt:
    """Return what one attempt of a check comes to."""
    return await check.attempt(asyncio.get_running_loop().time() + seconds)
