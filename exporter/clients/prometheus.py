"""Prometheus' HTTP API, as far as we need it. Blocks. The format: prometheus.io, HTTP API, Targets."""

from collections.abc import Mapping
from typing import Final

import msgspec

from exporter.clients.http_get import Access, GetError, get

# about 2 kB a target: 4,000 of them
MAX_TARGETS_BYTES: Final = 8 * 1024 * 1024


class Target(msgspec.Struct, frozen=True, rename={"scrape_url": "scrapeUrl"}):
    """One address that Prometheus scrapes now, with its labels."""

    labels: Mapping[str, str] = {}
    scrape_url: str = ""
    health: str = "unknown"


class _Targets(msgspec.Struct, rename={"active": "activeTargets"}):
    active: tuple[Target, ...] = ()


class _Answer(msgspec.Struct):
    status: str
    data: _Targets | None = None


_DECODER: Final = msgspec.json.Decoder(_Answer)


def fetch_targets(base_url: str, deadline: float, access: Access) -> tuple[Target, ...]:
    """Return all active targets. Blocks until `deadline` (time.monotonic()) at most; raises GetError."""
    url = base_url.rstrip("/") + "/api/v1/targets?state=active"
    answer = get(url, deadline, MAX_TARGETS_BYTES, access)
    if answer.status != 200:
        raise GetError(f"HTTP status {answer.status}")
    try:
        decoded = _DECODER.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise GetError("not the list of targets that was expected") from err
    if decoded.status != "success" or decoded.data is None:
        raise GetError(f"its status is {decoded.status[:40]!r}")
    return decoded.data.active
