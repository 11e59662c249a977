"""The hops of one alert on its way, and what they prove. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

from exporter.drills.budget import HOPS, Budget
from exporter.drills.fault import Expected
from exporter.drills.site import RelayMessage, View

Verdict = Literal["proven", "missed", "late", "refused", "undo failed"]
EXIT_CODES: dict[Verdict, int] = {"proven": 0, "missed": 1, "late": 2, "refused": 3, "undo failed": 4}
# Go prints nine digits, datetime takes six
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)
# of several results the worst decides: a fault that stays, then an alert that does not come
LOUDNESS: Final[tuple[Verdict, ...]] = ("proven", "refused", "late", "missed", "undo failed")
UP = HOPS[: HOPS.index("resolved")]
DOWN = HOPS[HOPS.index("resolved") :]


class Way(msgspec.Struct):
    """One alert's way; moments in seconds since the epoch, by hop."""

    alert: str
    labels: Mapping[str, str]
    limits: Mapping[str, float]
    """Seconds that each hop may take, from the fault or from its end."""
    group_wait: float
    moments: dict[str, float] = msgspec.field(default_factory=dict)

    def took(self, hop: str, injected: float, recovered: float) -> float | None:
        """Return how long a hop took, from the fault or from its end; None when it was not reached."""
        moment = self.moments.get(hop)
        return None if moment is None else max(0.0, moment - (injected if hop in UP else recovered))

    @property
    def delivery(self) -> float | None:
        """Seconds from firing in Prometheus to Slack (or the preview), less group_wait."""
        if not {"firing", "told"} <= self.moments.keys():
            return None
        return self.moments["told"] - self.moments["firing"] - self.group_wait


class Result(msgspec.Struct):
    """What one drill proved, as it is kept."""

    drill: str
    version: str
    began: float
    mode: str
    """Where it was told: slack or preview."""
    strength: float = 1.0
    injected: float = 0.0
    recovered: float = 0.0
    ended: float = 0.0
    near: float = 0.0
    """When a drill below the threshold saw the metric near it; 0 when it never did."""
    verdict: Verdict = "refused"
    reason: str = ""
    ways: list[Way] = msgspec.field(default_factory=list)

    @property
    def is_negative(self) -> bool:
        """Whether no alert was the goal."""
        return self.strength < 1


def make_way(expected: Expected, budget: Budget) -> Way:
    """Return a way that nothing has gone yet."""
    return Way(expected.alert, dict(expected.labels), dict(budget.limits), budget.group_wait, {})


def see_up(way: Way, view: View, mode: str) -> None:
    """Note each hop that the view shows for the first time."""
    for alert in view.alerts:
        if _is(way, alert.labels):
            way.moments.setdefault("pending", min(view.at, moment_of(alert.active_at)))
            if alert.state == "firing":
                way.moments.setdefault("firing", view.at)
    message = _message(way, view)
    if message is None:
        return
    received = moment_of(message.received_first)
    way.moments.setdefault("received", received)
    # Prometheus says when it fired: a poll of ours sees it later
    fired = min(
        moment_of(one.starts_at) if one.starts_at else received for one in message.alerts if _is(way, one.labels)
    )
    way.moments["firing"] = min(way.moments.get("firing", fired), fired, received)
    if message.delivered or mode == "preview":
        way.moments.setdefault("told", received if mode == "preview" else view.at)


def see_down(way: Way, view: View, mode: str) -> None:
    """Note that it is resolved, and that this was told."""
    if not any(_is(way, alert.labels) and alert.state == "firing" for alert in view.alerts):
        way.moments.setdefault("resolved", view.at)
    message = _message(way, view)
    if message is None or "resolved" not in way.moments or _fires(way, message):
        return
    if message.delivered or mode == "preview":
        moment = moment_of(message.received) if mode == "preview" else view.at
        way.moments.setdefault("resolution told", moment)
        way.moments["resolved"] = min(way.moments["resolved"], moment)


def verdict_of(result: Result) -> Verdict:
    """Return what the moments prove: everything reached, and in time."""
    ways = result.ways
    if result.is_negative:
        return "missed" if not result.near or any("firing" in way.moments for way in ways) else "proven"
    if any(hop not in way.moments for way in ways for hop in HOPS):
        return "missed"
    return "late" if late_hops(result) else "proven"


def exit_code(results: Iterable[Result]) -> int:
    """Return the exit code of several results; none at all is a refusal."""
    verdicts = {result.verdict for result in results} or {"refused"}
    return EXIT_CODES[max(verdicts, key=LOUDNESS.index)]


def late_hops(result: Result) -> list[tuple[str, str, float]]:
    """Return alert, hop and seconds over the budget of each hop that came too late."""
    out = []
    for way in result.ways:
        for hop in HOPS:
            took = way.took(hop, result.injected, result.recovered)
            if took is not None and took > way.limits[hop]:
                out.append((way.alert, hop, took - way.limits[hop]))
    return out


def moment_of(text: str) -> float:
    """Return an RFC 3339 moment in seconds since the epoch; digits beyond microseconds are dropped."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a moment such as 2026-11-20T15:06:21.207Z, got {text[:40]!r}")
    whole, fraction, zone = found.groups()
    return datetime.fromisoformat(f"{whole}.{(fraction or '')[:6]:0<6}{zone}").timestamp()


def _is(way: Way, labels: Mapping[str, str]) -> bool:
    return labels.get("alertname") == way.alert and way.labels.items() <= labels.items()


def _message(way: Way, view: View) -> RelayMessage | None:
    return next((one for one in view.messages if any(_is(way, alert.labels) for alert in one.alerts)), None)


def _fires(way: Way, message: RelayMessage) -> bool:
    return any(_is(way, alert.labels) and alert.status == "firing" for alert in message.alerts)
