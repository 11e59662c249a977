"""How long each hop of an alert may take by the user's own settings. Pure.

A rate over five minutes reaches its threshold after five minutes at the latest; a recording rule in between costs an
evaluation more; and so on. What the machine itself needs is in `GRACE`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from exporter.clients.prometheus import Rule, RuleGroup
from exporter.drills.durations import seconds_of
from exporter.drills.routes import Timing

# a poll of ours, an HTTP request and a commit to a disk, on a machine that may have other work
GRACE: Final = 2.0
# a longer range looks at what was, such as "it worked within the day": nobody waits for it to fill
HISTORY: Final = 3600.0
HOPS: Final = ("crossed", "pending", "firing", "received", "told", "resolved", "resolution told")
# functions that have to see their whole window before they can say anything else than before
_WHOLE: Final = frozenset(
    {"rate", "increase", "irate", "delta", "avg_over_time", "max_over_time", "min_over_time", "sum_over_time"}
)
_RANGE: Final = re.compile(r"\[([0-9a-z]+)(:[0-9a-z]*)?\]")
_FUNCTION: Final = re.compile(r"([a-z_]+)\s*\(")
_NAME: Final = re.compile(r"[a-zA-Z_][\w]*:[\w:]+")


class Windows(NamedTuple):
    """What a rule looks back at; in seconds."""

    rising: float
    """Until it can hold."""
    falling: float
    """Until it can end: a last value is kept as well."""
    step: float
    """The longest step of a subquery: what it must have seen once."""
    depth: int
    """Recording rules in a row before it."""


class Budget(NamedTuple):
    """Seconds after the fault for the way up, after its end for the way down."""

    limits: Mapping[str, float]
    group_wait: float

    def of(self, hop: str) -> float:
        """Return how long a hop may take."""
        return self.limits[hop]


def make_budget(
    rule: Rule, windows: Windows, timing: Timing, *, scrape: float, evaluation: float, lag: float
) -> Budget:
    """Return the budget of one alert; `scrape` and `evaluation` are the intervals of its job and of its rules.

    `lag` is what the fault itself needs until it shows, timers of checks included. All in seconds.
    """
    chain = evaluation * (windows.depth + 1)
    crossed = lag + scrape + windows.rising + chain + GRACE
    firing = crossed + rule.duration + evaluation
    received = firing + timing.group_wait + GRACE
    resolved = lag + scrape + max(windows.rising, windows.falling) + chain + rule.keep_firing_for + evaluation + GRACE
    # Prometheus tells once an evaluation at the latest, Alertmanager once a group_interval
    resolution = resolved + evaluation + timing.group_interval + GRACE
    limits = (crossed, crossed, firing, received, received + GRACE, resolved, resolution)
    return Budget(dict(zip(HOPS, limits, strict=True)), timing.group_wait)


def windows_of(query: str, records: Mapping[str, str]) -> Windows:
    """Return what an expression looks back at, through the recording rules (`records`, by name) that it uses."""
    return _windows(query, records, frozenset())


def records_of(groups: Iterable[RuleGroup]) -> dict[str, str]:
    """Return the expressions of recording rules by name; several of one name one after the other."""
    out: dict[str, str] = {}
    for group in groups:
        for rule in group.rules:
            if rule.type == "recording":
                out[rule.name] = f"{out.get(rule.name, '')} {rule.query}"
    return out


def _windows(query: str, records: Mapping[str, str], above: frozenset[str]) -> Windows:
    rising = falling = step = 0.0
    for found in _RANGE.finditer(query):
        seconds = seconds_of(found[1])
        functions = _FUNCTION.findall(query, 0, found.start())
        if found[2] or seconds > HISTORY:  # what was there before: only its step matters
            step = max(step, seconds_of(found[2][1:]) if (found[2] or "")[1:] else 0.0)
            continue
        rising = max(rising, seconds if functions and functions[-1] in _WHOLE else 0.0)
        falling = max(falling, seconds)
    inner = [_windows(records[name], records, above | {name}) for name in _names(query, records) - above]
    return Windows(
        rising + max((one.rising for one in inner), default=0.0),
        falling + max((one.falling for one in inner), default=0.0),
        max([step, *(one.step for one in inner)]),
        1 + max(one.depth for one in inner) if inner else 0,
    )


def _names(query: str, records: Mapping[str, str]) -> frozenset[str]:
    # thresholds and switches stand still: they are read, and wait for nothing
    names = (name for name in _NAME.findall(query) if not name.startswith(("host:threshold", "host:alert_off")))
    return frozenset(name for name in names if name in records)
