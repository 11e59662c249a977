"""Medians with their spread, over interleaved blocks."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A figure and the lowest and highest of its blocks."""

    value: float
    low: float
    high: float


def median(blocks: Sequence[float]) -> Summary | None:
    """Return the median of the blocks; None when there are none."""
    return Summary(statistics.median(blocks), min(blocks), max(blocks)) if blocks else None


def mean(blocks: Sequence[float]) -> Summary | None:
    """Return the mean of the blocks, for what happens in few of them and must not be lost in a median."""
    return Summary(statistics.fmean(blocks), min(blocks), max(blocks)) if blocks else None


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Summary | None:
    """Return the median of ours / theirs, block by block, since blocks of one round saw the same machine.

    None where either has nothing, or theirs is zero.
    """
    if not ours or len(ours) != len(theirs) or not all(theirs):
        return None
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of `values` lie (nearest rank). Raises IndexError without values."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Record:
    """What was measured: for each server and measure one number per block, in base units."""

    def __init__(self) -> None:
        self._blocks: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._reasons: dict[str, str] = {}

    def excuse(self, server: str, reason: str) -> None:
        """Keep why nothing of a server can be measured on this machine."""
        self._reasons[server] = reason

    def reason(self, server: str) -> str:
        """Return why nothing of a server could be measured; empty when nobody said so."""
        return self._reasons.get(server, "")

    def add(self, server: str, measure: str, value: float) -> None:
        """Keep the number of one block."""
        self._blocks[server, measure].append(value)

    def blocks(self, server: str, measure: str) -> list[float]:
        """Return the numbers of all blocks, in order; empty when it was not measured."""
        return self._blocks.get((server, measure), [])

    def plain(self) -> dict[str, dict[str, list[float]]]:
        """Return everything as server: measure: blocks, for JSON."""
        out: dict[str, dict[str, list[float]]] = {}
        for (server, measure), blocks in self._blocks.items():
            out.setdefault(server, {})[measure] = blocks
        return out
