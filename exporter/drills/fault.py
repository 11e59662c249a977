"""What every fault can do; the table of them is in exporter.drills.faults."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from exporter.drills.scene import Scene
from exporter.drills.site import Site


class Expected(NamedTuple):
    """An alert that the fault must fire, told from others by these labels."""

    alert: str
    labels: Mapping[str, str]
    job: str = "node"


class Fault:
    """One way to break something of the drill's own. The methods are called in the order in which they stand here."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """What happens, in one sentence."""
    cap: ClassVar[str]
    """What it cannot exceed."""
    alerts: ClassVar[tuple[str, ...]]
    job: ClassVar[str] = "node"
    lag: ClassVar[float] = 0.0
    """Seconds that the fault itself needs until it shows, timers of checks included."""
    whole_host: ClassVar[bool] = False
    """Whether this machine's real exporter sees it too: its alerts of these names are switched off for the time."""
    prometheus_feels: ClassVar[tuple[str, ...]] = ()
    """Alerts of the real Prometheus that the fault would fire beside its own; off for the time."""
    alone: ClassVar[bool] = False
    """Whether other drills would feel it: none runs beside it."""
    has_threshold: ClassVar[bool] = False
    """Whether it can be drawn to 0.8 of the threshold, where no alert may come; `level` says how near it came."""
    tasks: ClassVar[int] = 1
    """Tasks that it keeps running or waiting at most, as the load average counts them."""
    may_end: ClassVar[frozenset[str]] = frozenset()
    """Processes of the scene whose end is the fault, or follows from it."""

    def delay(self, site: Site) -> float:  # noqa: ARG002 -- of those that wait for a scrape as well
        """Return the seconds that the fault itself needs until it shows."""
        return self.lag

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- of those that need something
        """Return what this machine lacks for it, each with what to do."""
        return []

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels by which its alerts are told from others."""
        return {"instance": scene.instance}

    def expected(self, scene: Scene) -> tuple[Expected, ...]:
        """Return the alerts that must fire."""
        return tuple(Expected(alert, self.labels(scene), self.job) for alert in self.alerts)

    def stage(self, scene: Scene) -> None:
        """Put up the victims and let Prometheus see them. Raises SceneError."""
        raise NotImplementedError

    def ready(self, scene: Scene) -> str:
        """Return a query that has an answer once Prometheus sees the victims, healthy."""
        return f'up{{instance="{scene.instance}"}} == 1'

    def inject(self, scene: Scene, strength: float) -> None:
        """Break it. `strength` is 1, or 0.8 where it must not alert. Raises SceneError."""
        raise NotImplementedError

    def crossed(self, scene: Scene) -> str:
        """Return a query that has an answer once the metric shows the fault."""
        return self.level(scene, 1)

    def level(self, scene: Scene, share: float) -> str:
        """Return a query that has an answer once the metric is above this share of its threshold."""
        raise NotImplementedError

    def recover(self, scene: Scene) -> None:
        """Mend it; the victims stay, so that it is seen to be well again. Raises SceneError."""
        raise NotImplementedError
