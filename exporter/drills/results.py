"""What drills proved, one JSON file each; and which alerts were never proven here."""

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from exporter.drills.ledger import LedgerError, explained
from exporter.drills.timeline import Result, Way

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
    try:
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        os.replace(fresh, path)  # noqa: PTH105 -- said with the other calls of the kernel
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    for old in sorted(folder.glob("*.json"))[:-MAX_KEPT]:
        old.unlink(missing_ok=True)
    return path


def read(state: Path) -> list[Result]:
    """Return all results, oldest first; files that are none are left out. Raises LedgerError."""
    out = []
    try:
        names = os.listdir(state / FOLDER)  # noqa: PTH208 -- glob takes a folder that is closed to us for an empty one
    except FileNotFoundError:
        return []
    except OSError as err:
        raise LedgerError(explained(state / FOLDER, err)) from err
    for path in sorted(state / FOLDER / name for name in names if name.endswith(".json")):
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


class Tally(msgspec.Struct, frozen=True):
    """All runs of a drill that were not refused, for one of its alerts; times in seconds."""

    drill: str
    alert: str
    runs: int
    in_time: int
    """Runs whose every hop was reached within its budget."""
    told: tuple[float, ...]
    """From the fault to Slack, shortest first; a run that was never told is missing."""
    resolution_told: tuple[float, ...]
    """From the fault's end to Slack's being told."""


def tallies(found: Iterable[Result]) -> list[Tally]:
    """Return every run of each drill and alert together, by name; negative runs and refused ones are left out."""
    runs: dict[tuple[str, str], list[tuple[Result, Way]]] = {}
    for result, way in _ways(found):
        runs.setdefault((result.drill, way.alert), []).append((result, way))
    return [
        Tally(
            drill=drill,
            alert=alert,
            runs=len(pairs),
            in_time=sum(result.verdict == "proven" for result, _ in pairs),
            told=_times(pairs, "told"),
            resolution_told=_times(pairs, "resolution told"),
        )
        for (drill, alert), pairs in sorted(runs.items())
    ]


def _times(pairs: Iterable[tuple[Result, Way]], hop: str) -> tuple[float, ...]:
    took = (way.took(hop, result.injected, result.recovered) for result, way in pairs)
    return tuple(sorted(seconds for seconds in took if seconds is not None))


def deliveries(found: Iterable[Result]) -> list[float]:
    """Return, of every run that was told, the seconds from firing in Prometheus to Slack, less group_wait; sorted."""
    return sorted(way.delivery for _, way in _ways(found) if way.delivery is not None)


def _ways(found: Iterable[Result]) -> Iterator[tuple[Result, Way]]:
    for result in found:
        if not result.is_negative and result.verdict != "refused":
            yield from ((result, way) for way in result.ways)


def unproven(alerts: Iterable[str], proven: Mapping[str, Proof]) -> list[str]:
    """Return the alerts that no drill has fired on this installation."""
    return sorted(set(alerts) - proven.keys())
