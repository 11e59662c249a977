"""One drill under way: set up, wait until it is watched, break, follow the alert, mend, follow its end, clear up."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

from exporter import __version__
from exporter.drills import site as sites
from exporter.drills.fault import Fault
from exporter.drills.ledger import Ledger
from exporter.drills.scene import Scene, SceneError
from exporter.drills.silence import Silence
from exporter.drills.site import Site, SiteError, View
from exporter.drills.timeline import DOWN, UP, Result, make_way, see_down, see_up, verdict_of

Phase = Literal["setting up", "waiting to be watched", "broken", "mended", "done"]
# starting Python, an engine, a Prometheus on a busy machine
_START_SECONDS: Final = 90.0
# what comes later than this is not late, it is missed
_PATIENCE: Final = 60.0
_FACTOR: Final = 1.5
# the share of the threshold that a drill below it has to reach, or it proves nothing
_NEAR: Final = 0.7
# the longest that all of a run may take; a lifeline undoes it then
MAX_SECONDS: Final = 6 * 3600.0


class Drill:
    """One fault, from its set-up to its end; `tick` moves it on and never waits."""

    def __init__(self, fault: Fault, site: Site, book: Ledger, strength: float = 1.0) -> None:
        self.fault, self.site = fault, site
        self.phase: Phase = "setting up"
        self._began = time.time()
        self.result = Result(fault.name, __version__, self._began, site.mode, strength)
        self.scene = Scene(fault.name, site, book, strength)
        self._silence = Silence()
        real = [(alert, one) for alert in fault.alerts for one in site.local_instances] if fault.whole_host else []
        others = [(alert, one) for alert in fault.prometheus_feels for one in site.prometheus_instances]
        self._off = [*real, *others]

    def stage(self) -> None:
        """Put up the victims. Raises SceneError, SiteError, OSError, GoneError."""
        self.scene.open()
        self.scene.rows()
        if self._off:
            # two drills may say the same of one instance: without `by` the rule would meet equal series
            own = f'by="{self.scene.instance}"'
            rows = (f'host_alert_off{{alert="{alert}",instance="{one}",{own}}} 1' for alert, one in self._off)
            self.scene.rows(*rows, name="off")
        self.fault.stage(self.scene)
        for one in self.fault.expected(self.scene):
            budget = self.site.budget(one.alert, one.labels, one.job, self.fault.delay(self.site))
            self.result.ways.append(make_way(one, budget))
        self.phase = "waiting to be watched"

    def tick(self, view: View) -> None:
        """Look, and move on where it is time to. Raises SceneError, GoneError, and SiteError after a while of it."""
        if fallen := self.scene.fallen(self.fault.may_end):
            raise SceneError(fallen)
        step = {"waiting to be watched": self._await, "broken": self._follow_up, "mended": self._follow_down}
        try:
            step[self.phase](view)
        except SiteError as err:
            self._silence.bear(err)  # the next look may have an answer
        else:
            self._silence.end()

    def cut(self) -> None:
        """Kill all that it started, and wait for nothing; `end` undoes the rest."""
        self.scene.kill_all()

    def end(self, verdict: Literal["refused", ""] = "", reason: str = "") -> None:
        """Clear up, and say what came of it. May be called again."""
        left = self.scene.clear()
        if self.phase == "done":
            return
        self.phase = "done"
        self.result.ended = time.time()
        self.result.verdict = verdict or verdict_of(self.result)
        self.result.reason = reason or self._reason()
        if left:
            self.result.verdict, self.result.reason = "undo failed", "; ".join(left)

    def _await(self, view: View) -> None:
        waited = view.at - self._began
        limit = _START_SECONDS + max(way.limits["crossed"] for way in self.result.ways)
        if not self._is_ready():
            if waited > limit:
                raise SceneError(f"not seen well within {limit:.0f} s: no answer to {self.fault.ready(self.scene)}")
            return
        self.fault.inject(self.scene, self.result.strength)
        self.result.injected = time.time()
        self.phase = "broken"

    def _is_ready(self) -> bool:
        options = self.site.options
        if not sites.holds(options, self.fault.ready(self.scene)):
            return False
        names = [f'count(host:alert_off:info{{alert="{alert}",instance="{one}"}})' for alert, one in self._off]
        return not names or sites.holds(options, " and ".join(names))

    def _follow_up(self, view: View) -> None:
        ways = self.result.ways
        for way in ways:
            see_up(way, view, self.site.mode)
        if self.result.is_negative:
            self._follow_below(view)
            return
        if any("crossed" not in way.moments for way in ways) and sites.holds(
            self.site.options, self.fault.crossed(self.scene)
        ):
            for way in ways:
                way.moments.setdefault("crossed", view.at)
        limit = max(way.limits["told"] for way in ways)
        passed = view.at - self.result.injected
        if all("told" in way.moments for way in ways):
            self.mend()
        elif passed > limit * _FACTOR + _PATIENCE:
            self.end()

    def _follow_below(self, view: View) -> None:
        """Look that the metric comes near its threshold, and no alert: a little longer than one would have needed."""
        ways, passed = self.result.ways, view.at - self.result.injected
        if not self.result.near and sites.holds(self.site.options, self.fault.level(self.scene, _NEAR)):
            self.result.near = view.at
        if any("firing" in way.moments for way in ways) or passed > max(way.limits["firing"] for way in ways):
            self.end()

    def mend(self) -> None:
        """End the fault, as its time has come. Raises SceneError."""
        for way in self.result.ways:
            # an alert cannot hold before its metric does; a poll of ours may see it later
            first = min(way.moments.get(hop, self.result.injected) for hop in UP if hop in way.moments)
            way.moments["crossed"] = min(way.moments.get("crossed", first), way.moments.get("pending", first))
        self.fault.recover(self.scene)
        self.result.recovered = time.time()
        self.phase = "mended"

    def _follow_down(self, view: View) -> None:
        ways = self.result.ways
        for way in ways:
            see_down(way, view, self.site.mode)
        passed = view.at - self.result.recovered
        last = DOWN[-1]
        if all(last in way.moments for way in ways) or passed > max(w.limits[last] for w in ways) * _FACTOR + _PATIENCE:
            self.end()

    def _reason(self) -> str:
        missing = [
            f"{way.alert}: {hop}"
            for way in self.result.ways
            for hop in (*UP, *DOWN)
            if hop not in way.moments and not self.result.is_negative
        ]
        if missing:
            return f"never came: {', '.join(missing)}"
        if self.result.is_negative and self.result.verdict == "missed":
            fired = any("firing" in way.moments for way in self.result.ways)
            return "an alert fired below the threshold" if fired else "the metric never came near its threshold"
        return ""


def longest(fault: Fault, site: Site) -> float:
    """Return how many seconds a drill may take at most, each of its phases as late as it may be. Raises SiteError."""
    budgets = [site.budget(alert, {}, fault.job, fault.delay(site)) for alert in fault.alerts]
    wait, up, down = (max(one.of(hop) for one in budgets) for hop in ("crossed", "told", "resolution told"))
    return _START_SECONDS + wait + (up + down) * _FACTOR + 2 * _PATIENCE


Show = Callable[[Sequence[Drill], View], None]
