"""One thing that was looked at, and what came of it."""

from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

Verdict = Literal["ok", "skipped", "warning", "problem"]

VERDICTS: Final[tuple[Verdict, ...]] = ("ok", "skipped", "warning", "problem")
"""From good to bad."""


class Finding(msgspec.Struct, frozen=True):
    """What was looked at, how it is, and what mends it; `fix` is empty where nothing has to be mended."""

    part: str
    """settings, exporter, prometheus, alertmanager, relay or grafana."""
    check: str
    """A name that programs can count on."""
    verdict: Verdict
    text: str
    fix: str = ""


Found = Iterator[Finding]


class Notes:
    """Makes findings of one part."""

    def __init__(self, part: str) -> None:
        self._part = part

    def ok(self, check: str, text: str) -> Finding:
        """Good."""
        return Finding(self._part, check, "ok", text)

    def skipped(self, check: str, text: str, fix: str) -> Finding:
        """Not looked at; `fix` says what would let us."""
        return Finding(self._part, check, "skipped", text, fix)

    def warning(self, check: str, text: str, fix: str) -> Finding:
        """Something is missing that the rest does without."""
        return Finding(self._part, check, "warning", text, fix)

    def problem(self, check: str, text: str, fix: str) -> Finding:
        """Something that is wanted does not work."""
        return Finding(self._part, check, "problem", text, fix)


def worst(findings: list[Finding]) -> Verdict:
    """Return the worst verdict; `ok` of nothing."""
    key: Callable[[Verdict], int] = VERDICTS.index
    return max((finding.verdict for finding in findings), key=key, default="ok")
