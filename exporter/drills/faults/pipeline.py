"""Faults of Prometheus and Alertmanager: each breaks one of the drill's own, which the real Prometheus watches."""

import json
import shutil
import signal
from typing import Any, ClassVar, Final

import yaml

from exporter.drills.fault import Expected, Fault
from exporter.drills.scene import Scene, free_port
from exporter.drills.site import Site

_PROMETHEUS: Final = ("prometheus",)
_ALERTMANAGER: Final = ("prometheus-alertmanager", "alertmanager")


def _find(names: tuple[str, ...]) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


class _Alertmanager(Fault):
    """An Alertmanager of the drill's own that tells nobody of anything."""

    job: ClassVar[str] = "alertmanager"
    cap: ClassVar[str] = "an Alertmanager of the drill's own"
    receiver: ClassVar[dict[str, Any]] = {"name": "nobody"}
    # the shipped Prometheus sends to every Alertmanager that it scrapes
    prometheus_feels: ClassVar[tuple[str, ...]] = ("PrometheusNotificationsFailing",)

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- the same everywhere
        """Return what this machine lacks for it."""
        return [] if _find(_ALERTMANAGER) else ["Alertmanager is missing: apt-get install prometheus-alertmanager"]

    def stage(self, scene: Scene) -> None:
        """Start it and have it scraped."""
        scene.facts["port"] = free_port()
        self.configure(scene, good=True)
        self.start(scene)
        scene.register("alertmanager", scene.facts["port"])
        scene.register("node", scene.exporter(), f"{scene.instance}-exporter")

    def configure(self, scene: Scene, *, good: bool) -> None:
        """Write its configuration."""
        route = {"receiver": "nobody", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}
        config = {"route": route, "receivers": [self.receiver]}
        text = yaml.safe_dump(config) if good else "route: broken by a drill\n"
        (scene.folder / "alertmanager.yml").write_text(text)

    def start(self, scene: Scene) -> None:
        """Start it."""
        folder = scene.folder
        listen = f"--web.listen-address={scene.site.options.at(scene.facts['port'])}"
        where = [f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/alertmanager"]
        scene.start("alertmanager", [_find(_ALERTMANAGER) or "", *where, listen, "--cluster.listen-address="])


class AlertmanagerStopped(_Alertmanager):
    """Nobody takes alerts."""

    name: ClassVar[str] = "alertmanager-stopped"
    summary: ClassVar[str] = "An Alertmanager of the drill's own is killed."
    alerts: ClassVar[tuple[str, ...]] = ("PipelinePartDown",)
    may_end: ClassVar[frozenset[str]] = frozenset({"alertmanager"})

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Kill it."""
        scene.kill("alertmanager")

    def crossed(self, scene: Scene) -> str:
        """Ask for a scrape that failed."""
        return f'up{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Start it again."""
        self.start(scene)


class AlertmanagerMisconfigured(_Alertmanager):
    """Somebody made a mistake in its configuration."""

    name: ClassVar[str] = "alertmanager-misconfigured"
    summary: ClassVar[str] = "An Alertmanager of the drill's own gets a configuration with a mistake, and SIGHUP."
    alerts: ClassVar[tuple[str, ...]] = ("AlertmanagerReloadFailed",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Write what is none."""
        self.configure(scene, good=False)
        scene.kill("alertmanager", signal.SIGHUP)

    def crossed(self, scene: Scene) -> str:
        """Ask for its word."""
        return f'alertmanager_config_last_reload_successful{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Write a good one."""
        self.configure(scene, good=True)
        scene.kill("alertmanager", signal.SIGHUP)


class NotificationsFailing(_Alertmanager):
    """Nobody takes what it tells."""

    name: ClassVar[str] = "notifications-failing"
    summary: ClassVar[str] = "An Alertmanager of the drill's own sends webhooks to a server that is killed."
    alerts: ClassVar[tuple[str, ...]] = ("AlertmanagerNotificationsFailing",)
    may_end: ClassVar[frozenset[str]] = frozenset({"receiver"})
    lag: ClassVar[float] = 10.0

    def expected(self, scene: Scene) -> tuple[Expected, ...]:
        """Return the alert of webhooks."""
        labels = {"instance": scene.instance, "integration": "webhook"}
        return (Expected(self.alerts[0], labels, self.job),)

    def configure(self, scene: Scene, *, good: bool) -> None:
        """Write a configuration with a webhook."""
        port = scene.facts.setdefault("receiver", free_port())
        hook = {"url": f"http://127.0.0.1:{port}/", "send_resolved": True}
        route = {"receiver": "drill", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}
        config = {"route": route, "receivers": [{"name": "drill", "webhook_configs": [hook]}]}
        (scene.folder / "alertmanager.yml").write_text(yaml.safe_dump(config) if good else "")

    def stage(self, scene: Scene) -> None:
        """Start it, with a receiver that works; whatever the real Prometheus tells it is told on."""
        scene.facts["receiver"] = free_port()
        self._receive(scene)
        super().stage(scene)

    def _receive(self, scene: Scene) -> None:
        scene.victim("receiver", "http", str(scene.facts["receiver"]), str(scene.folder / "seconds"))

    def ready(self, scene: Scene) -> str:
        """Ask for webhooks that were sent: the real Prometheus sends its Watchdog to every Alertmanager."""
        own = f'instance="{scene.instance}",integration="webhook"'
        return f"alertmanager_notifications_total{{{own}}} > 0"

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Kill the receiver."""
        scene.kill("receiver")

    def crossed(self, scene: Scene) -> str:
        """Ask for webhooks that failed."""
        own = f'instance="{scene.instance}",integration="webhook"'
        return f"sum(alertmanager_notifications_failed_total{{{own}}}) > 0"

    def recover(self, scene: Scene) -> None:
        """Start it again."""
        self._receive(scene)


class _Prometheus(Fault):
    """A Prometheus of the drill's own with a rule that works and an Alertmanager that does not matter."""

    job: ClassVar[str] = "prometheus"
    cap: ClassVar[str] = "a Prometheus of the drill's own"
    lag: ClassVar[float] = 6.0

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- the same everywhere
        """Return what this machine lacks for it."""
        return [] if _find(_PROMETHEUS) else ["Prometheus is missing: apt-get install prometheus"]

    def stage(self, scene: Scene) -> None:
        """Start it with a server that takes its alerts, and have it scraped."""
        folder, port = scene.folder, free_port()
        scene.facts["receiver"] = free_port()
        scene.victim("receiver", "http", str(scene.facts["receiver"]), str(folder / "seconds"))
        self.configure(scene)
        where = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        listen = f"--web.listen-address={scene.site.options.at(port)}"
        scene.start(
            "prometheus",
            [_find(_PROMETHEUS) or "", *where, listen, "--log.level=warn", "--rules.alert.resend-delay=1s"],
        )
        scene.register("prometheus", port)

    def configure(self, scene: Scene, *, rule: str = "vector(1)", told: bool = True, good: bool = True) -> None:
        """Write its configuration: one alert that always fires."""
        alert = {"alert": "Drill", "expr": rule}
        groups = {"groups": [{"name": "drill", "interval": "1s", "rules": [alert]}]}
        (scene.folder / "rules.yml").write_text(json.dumps(groups))
        receivers = [{"static_configs": [{"targets": [f"127.0.0.1:{scene.facts['receiver']}"]}]}] if told else []
        timing = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = {"global": timing, "rule_files": ["rules.yml"], "alerting": {"alertmanagers": receivers}}
        text = yaml.safe_dump(config) if good else "global: broken by a drill\n"
        (scene.folder / "prometheus.yml").write_text(text)

    def reload(self, scene: Scene) -> None:
        """Let it read its configuration again."""
        scene.kill("prometheus", signal.SIGHUP)

    def recover(self, scene: Scene) -> None:
        """Write the configuration that works."""
        self.configure(scene)
        self.reload(scene)


class PrometheusMisconfigured(_Prometheus):
    """Somebody made a mistake in its configuration."""

    name: ClassVar[str] = "prometheus-misconfigured"
    summary: ClassVar[str] = "A Prometheus of the drill's own gets a configuration with a mistake, and SIGHUP."
    alerts: ClassVar[tuple[str, ...]] = ("PrometheusReloadFailed",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Write what is none."""
        self.configure(scene, good=False)
        self.reload(scene)

    def crossed(self, scene: Scene) -> str:
        """Ask for its word."""
        return f'prometheus_config_last_reload_successful{{instance="{scene.instance}"}} == 0'


class RuleFailing(_Prometheus):
    """A rule that cannot be evaluated."""

    name: ClassVar[str] = "rule-failing"
    summary: ClassVar[str] = "A Prometheus of the drill's own gets a rule whose labels cannot be matched."
    alerts: ClassVar[tuple[str, ...]] = ("PrometheusRuleFailing",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Write a rule with two samples on the side of one."""
        two = 'label_replace(vector(1), "a", "1", "", "") or label_replace(vector(1), "a", "2", "", "")'
        self.configure(scene, rule=f"vector(1) + on () ({two})")
        self.reload(scene)

    def crossed(self, scene: Scene) -> str:
        """Ask for failures."""
        return f'sum(prometheus_rule_evaluation_failures_total{{instance="{scene.instance}"}}) > 0'


class AlertmanagerUnreachable(_Prometheus):
    """It cannot tell its Alertmanager."""

    name: ClassVar[str] = "alertmanager-unreachable"
    summary: ClassVar[str] = "What takes the alerts of a Prometheus of the drill's own is killed."
    alerts: ClassVar[tuple[str, ...]] = ("PrometheusNotificationsFailing",)
    may_end: ClassVar[frozenset[str]] = frozenset({"receiver"})

    def ready(self, scene: Scene) -> str:
        """Ask for alerts that were sent."""
        return f'sum(prometheus_notifications_sent_total{{instance="{scene.instance}"}}) > 0'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Kill the receiver."""
        scene.kill("receiver")

    def crossed(self, scene: Scene) -> str:
        """Ask for failures."""
        return f'sum(prometheus_notifications_errors_total{{instance="{scene.instance}"}}) > 0'

    def recover(self, scene: Scene) -> None:
        """Start it again."""
        scene.victim("receiver", "http", str(scene.facts["receiver"]), str(scene.folder / "seconds"))


class AlertmanagerForgotten(_Prometheus):
    """It has nobody to tell."""

    name: ClassVar[str] = "alertmanager-forgotten"
    summary: ClassVar[str] = "A Prometheus of the drill's own loses its Alertmanager from its configuration."
    alerts: ClassVar[tuple[str, ...]] = ("PrometheusWithoutAlertmanager",)
    lag: ClassVar[float] = 10.0

    def ready(self, scene: Scene) -> str:
        """Ask for one that it knows."""
        return f'prometheus_notifications_alertmanagers_discovered{{instance="{scene.instance}"}} > 0'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Leave it out."""
        self.configure(scene, told=False)
        self.reload(scene)

    def crossed(self, scene: Scene) -> str:
        """Ask for none."""
        return f'prometheus_notifications_alertmanagers_discovered{{instance="{scene.instance}"}} == 0'
