"""Faults of exporters: killed, hung, not scraped any more, with settings, rows or collectors that fail."""

import signal
from collections.abc import Mapping
from typing import Any, ClassVar

from exporter.drills import engine_api
from exporter.drills.fault import Expected, Fault
from exporter.drills.scene import Scene
from exporter.drills.site import Site


class _OwnExporter(Fault):
    """An exporter of the drill's own; the real one is left alone."""

    cap: ClassVar[str] = "an exporter of the drill's own"
    settings: ClassVar[Mapping[str, Any]] = {}

    def stage(self, scene: Scene) -> None:
        """Start it and have it scraped."""
        scene.rows()
        scene.facts["port"] = scene.watch(self.settings)


class ExporterKilled(_OwnExporter):
    """It is not there."""

    name: ClassVar[str] = "exporter-killed"
    summary: ClassVar[str] = "An exporter of the drill's own is killed."
    alerts: ClassVar[tuple[str, ...]] = ("HostDown",)
    may_end: ClassVar[frozenset[str]] = frozenset({"exporter"})

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Kill it."""
        scene.kill("exporter")

    def crossed(self, scene: Scene) -> str:
        """Ask for a scrape that failed."""
        return f'up{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Start it again."""
        scene.exporter(self.settings, port=scene.facts["port"])


class ExporterHung(ExporterKilled):
    """It is there, and never answers."""

    name: ClassVar[str] = "exporter-hung"
    summary: ClassVar[str] = "An exporter of the drill's own is stopped (SIGSTOP): scrapes of it run out of time."
    # a scrape may take as long as its interval
    lag: ClassVar[float] = 15.0

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Stop it."""
        scene.kill("exporter", signal.SIGSTOP)

    def recover(self, scene: Scene) -> None:
        """Let it go on."""
        scene.kill("exporter", signal.SIGCONT)


class TargetRemoved(_OwnExporter):
    """Nobody asks it any more, though it belongs to the fleet."""

    name: ClassVar[str] = "target-removed"
    summary: ClassVar[str] = "A host of the drill's own that is expected in Prometheus is taken out of its targets."
    alerts: ClassVar[tuple[str, ...]] = ("HostMissing",)
    # Prometheus hands on changes of its targets every five seconds, and takes them every five
    lag: ClassVar[float] = 10.0

    def delay(self, site: Site) -> float:
        """Return it with what Prometheus waits until it marks a target's series as ended: 1.1 intervals more."""
        return self.lag + 1.1 * site.scrape.get(self.job, 60.0)

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels of the host that is missing."""
        return {"instance": f"{scene.instance}-victim"}

    def stage(self, scene: Scene) -> None:
        """Have one exporter that expects another, and the other."""
        victim = f"{scene.instance}-victim"
        scene.rows(f'host_expected_info{{target="{victim}"}} 1')
        scene.watch()
        # it must not expose the expectation as well: the rule would meet it twice
        settings = {"collectors": {"textfile": {"directories": [str(scene.folder / "nothing")]}}}
        (scene.folder / "nothing").mkdir()
        scene.facts["port"] = scene.exporter(settings, name="victim")
        scene.facts["target"] = scene.register("node", scene.facts["port"], victim)

    def ready(self, scene: Scene) -> str:
        """Ask for both."""
        return f'count(up{{instance=~"{scene.instance}(-victim)?"}} == 1) == 2'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Remove the target's file."""
        scene.facts["target"].unlink()

    def crossed(self, scene: Scene) -> str:
        """Ask for a host that is expected and not scraped."""
        return f'absent(up{{instance="{scene.instance}-victim"}})'

    def recover(self, scene: Scene) -> None:
        """Put it back."""
        scene.register("node", scene.facts["port"], f"{scene.instance}-victim")


class SettingsBroken(_OwnExporter):
    """Somebody made a mistake in the settings."""

    name: ClassVar[str] = "settings-broken"
    summary: ClassVar[str] = "An exporter of the drill's own gets settings with a mistake, and SIGHUP."
    alerts: ClassVar[tuple[str, ...]] = ("SettingsReloadFailed",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Write a key that does not exist."""
        scene.write_settings({"no_such_key": 1})
        scene.kill("exporter", signal.SIGHUP)

    def crossed(self, scene: Scene) -> str:
        """Ask for the exporter's word."""
        return f'host_exporter_settings_reload_successful{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Write good ones."""
        scene.write_settings({})
        scene.kill("exporter", signal.SIGHUP)


class SeriesFlood(_OwnExporter):
    """More series of one family than may be."""

    name: ClassVar[str] = "series-flood"
    summary: ClassVar[str] = "A textfile of an exporter of the drill's own holds more series than its limit."
    alerts: ClassVar[tuple[str, ...]] = ("SeriesDropped",)
    settings: ClassVar[Mapping[str, Any]] = {"scrape": {"series_per_family": 200}}

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- whole series
        """Write the textfile."""
        scene.rows(*(f'hostwatch_drill_flood{{number="{number}"}} 1' for number in range(260)), name="flood")

    def crossed(self, scene: Scene) -> str:
        """Ask for the counter."""
        return f'host_exporter_series_dropped_total{{instance="{scene.instance}"}} > 0'

    def recover(self, scene: Scene) -> None:
        """Remove the textfile."""
        (scene.textfiles / "flood.prom").unlink()


class TextfileRefused(_OwnExporter):
    """Somebody made a mistake in a textfile."""

    name: ClassVar[str] = "textfile-refused"
    summary: ClassVar[str] = "A textfile of an exporter of the drill's own ends in the middle of a row."
    alerts: ClassVar[tuple[str, ...]] = ("HostTextfileRefused",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Write the textfile."""
        scene.rows('hostwatch_drill_row{text="no end', name="broken")

    def crossed(self, scene: Scene) -> str:
        """Ask for the exporter's word."""
        return f'node_textfile_scrape_error{{instance="{scene.instance}"}} == 1'

    def recover(self, scene: Scene) -> None:
        """Remove the textfile."""
        (scene.textfiles / "broken.prom").unlink()


class CollectorFailing(_OwnExporter):
    """What a collector reads is not there any more."""

    name: ClassVar[str] = "collector-failing"
    summary: ClassVar[str] = "The engine's socket that an exporter of the drill's own asks disappears."
    alerts: ClassVar[tuple[str, ...]] = ("CollectorFailing",)

    def missing(self, site: Site) -> list[str]:
        """Return what this machine lacks for it."""
        # the exporter is this user's: a socket that is closed to it would fail before the fault
        return [lack] if (lack := engine_api.lack(site.options.docker)) else []

    def expected(self, scene: Scene) -> tuple[Expected, ...]:
        """Return the alert of the one collector."""
        return (Expected("CollectorFailing", {"instance": scene.instance, "collector": "containers"}),)

    def stage(self, scene: Scene) -> None:
        """Let it ask through a link."""
        (scene.folder / "engine").symlink_to(scene.site.options.docker)
        scene.rows()
        scene.watch({"collectors": {"containers": {"socket": str(scene.folder / "engine")}}})

    def ready(self, scene: Scene) -> str:
        """Ask for a collector that is well, and is known to have been."""
        known = "instance_collector:scrape_collector_success:max1d"
        return f"{self._success(scene)} == 1 and on (instance, collector) {known} == 1"

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Remove the link."""
        (scene.folder / "engine").unlink()

    def crossed(self, scene: Scene) -> str:
        """Ask for a collector that failed."""
        return f"{self._success(scene)} == 0"

    def recover(self, scene: Scene) -> None:
        """Put it back."""
        (scene.folder / "engine").symlink_to(scene.site.options.docker)

    def _success(self, scene: Scene) -> str:
        return f'node_scrape_collector_success{{instance="{scene.instance}",collector="containers"}}'
