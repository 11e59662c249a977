"""What drills proved, one JSON file each; and which alerts were never proven here."""

import os
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from exporter.drills.timeline import Result

FOLDER: Final = "results"
# a drill a day for some years
MAX_KEPT: Final = 2000


class Proof(msgspec.Struct, frozen=True):
    """When an alert was last proven here."""

    at: float
    version: str
    drill: str
    mode: str
    detect: float
    """Seconds from the fault to firing."""
    notify: float
    """Seconds from the fault to Slack."""
    resolve: float
    """Seconds from the fault's end to Slack's being told."""


def keep(state: Path, result: Result) -> Path:
    """Write a result and return where; the oldest beyond the limit are removed. Raises OSError."""
    folder = state / FOLDER
    folder.mkdir(mode=0o755, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(result.began))
    path = folder / f"{stamp}-{result.drill}-{secrets.token_hex(2)}.json"
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    os.replace(fresh, path)  # noqa: PTH105 -- said with the other calls of the kernel
    for old in sorted(folder.glob("*.json"))[:-MAX_KEPT]:
        old.unlink(missing_ok=True)
    return path


def read(state: Path) -> list[Result]:
    """Return all results, oldest first; files that are none are left out."""
    out = []
    for path in sorted((state / FOLDER).glob("*.json")):
        try:
            out.append(msgspec.json.decode(path.read_bytes(), type=Result))
        except (msgspec.DecodeError, OSError):
            continue
    return out


def proofs(found: Iterable[Result]) -> dict[str, Proof]:
    """Return the last proof of each alert; an alert that came late was proven, too."""
    out: dict[str, Proof] = {}
    for result in found:
        if result.is_negative or result.verdict not in ("proven", "late"):
            continue
        for way in result.ways:
            took = {hop: way.took(hop, result.injected, result.recovered) or 0.0 for hop in way.moments}
            out[way.alert] = Proof(
                at=result.injected,
                version=result.version,
                drill=result.drill,
                mode=result.mode,
                detect=took["firing"],
                notify=took["told"],
                resolve=took["resolution told"],
            )
    return out


def unproven(alerts: Iterable[str], proven: Mapping[str, Proof]) -> list[str]:
    """Return the alerts that no drill has fired on this installation."""
    return sorted(set(alerts) - proven.keys())
