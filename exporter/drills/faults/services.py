"""Faults of services: stopped, hung, slow, gone, with an old certificate, too few, or impossible to ask."""

import signal
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from exporter.drills.fault import Fault
from exporter.drills.faults.host import needs
from exporter.drills.scene import Scene, free_port
from exporter.drills.site import Site

_CHECK: Final = "drill"
# a check's timer: the shortest that there is
_TIMER: Final = {"interval": "1s", "timeout": "1s"}


class _Service(Fault):
    """A web server of the drill's own, and an exporter that checks it each second."""

    lag: ClassVar[float] = 3.0
    timer: ClassVar[Mapping[str, str]] = _TIMER

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels of the check."""
        return {"instance": scene.instance, "check": _CHECK}

    def stage(self, scene: Scene) -> None:
        """Start both."""
        port = scene.facts["port"] = free_port()
        scene.facts["file"] = scene.folder / "seconds"
        self._start(scene)
        check = {"name": _CHECK, "url": f"http://127.0.0.1:{port}/", **self.timer}
        scene.watch({"probes": {"http": [check]}})

    def _start(self, scene: Scene) -> None:
        scene.victim("service", "http", str(scene.facts["port"]), str(scene.facts["file"]))

    def ready(self, scene: Scene) -> str:
        """Ask for a check that is well."""
        return f'host_service_up{{instance="{scene.instance}"}} == 1'

    def crossed(self, scene: Scene) -> str:
        """Ask for a check that fails."""
        return f'host_service_up{{instance="{scene.instance}"}} == 0'


class ServiceStopped(_Service):
    """Nobody listens."""

    name: ClassVar[str] = "service-stopped"
    summary: ClassVar[str] = "A web server of the drill's own is killed."
    cap: ClassVar[str] = "one small process"
    alerts: ClassVar[tuple[str, ...]] = ("ServiceDown",)
    may_end: ClassVar[frozenset[str]] = frozenset({"service"})

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Kill it."""
        scene.kill("service")

    def recover(self, scene: Scene) -> None:
        """Start it again."""
        self._start(scene)


class ServiceHung(_Service):
    """Somebody listens, and never answers."""

    name: ClassVar[str] = "service-hung"
    summary: ClassVar[str] = (
        "A web server of the drill's own is stopped (SIGSTOP): it takes connections and never answers."
    )
    cap: ClassVar[str] = "one small process"
    alerts: ClassVar[tuple[str, ...]] = ("ServiceDown",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Stop it."""
        scene.kill("service", signal.SIGSTOP)

    def recover(self, scene: Scene) -> None:
        """Let it go on."""
        scene.kill("service", signal.SIGCONT)


class ServiceSlow(_Service):
    """It answers, but not soon."""

    name: ClassVar[str] = "service-slow"
    summary: ClassVar[str] = "A web server of the drill's own answers after 4 seconds."
    cap: ClassVar[str] = "one small process"
    alerts: ClassVar[tuple[str, ...]] = ("ServiceSlow",)
    lag: ClassVar[float] = 6.0
    timer: ClassVar[Mapping[str, str]] = {"interval": "5s", "timeout": "5s"}
    has_threshold: ClassVar[bool] = True

    def inject(self, scene: Scene, strength: float) -> None:
        """Let it wait; 0.8 of the threshold (2 s) is 1.6 s."""
        scene.facts["file"].write_text("4" if strength >= 1 else str(2 * strength))

    def level(self, scene: Scene, share: float) -> str:
        """Ask for the whole time of an attempt."""
        took = f'sum without (phase) (host_service_duration_seconds{{instance="{scene.instance}"}})'
        return f"{took} > {2 * share:g}"

    def recover(self, scene: Scene) -> None:
        """Let it answer at once."""
        scene.facts["file"].write_text("0")


class CheckImpossible(_Service):
    """Nothing is known of the service."""

    name: ClassVar[str] = "check-impossible"
    summary: ClassVar[str] = "A check of a unit finds no system bus to ask."
    cap: ClassVar[str] = "nothing but a check that cannot ask"
    alerts: ClassVar[tuple[str, ...]] = ("ServiceCheckCannotAsk",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Give the exporter a check that asks a bus which is not there."""
        unit = {"name": _CHECK, "unit": "drill.service", "bus": str(scene.folder / "no-bus"), **_TIMER}
        self._again(scene, {"probes": {"unit": [unit]}})

    def crossed(self, scene: Scene) -> str:
        """Ask for a check that cannot ask."""
        return f'host_service_check_possible{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Check the web server again."""
        check = {"name": _CHECK, "url": f"http://127.0.0.1:{scene.facts['port']}/", **_TIMER}
        self._again(scene, {"probes": {"http": [check]}})

    def _again(self, scene: Scene, settings: Mapping[str, Any]) -> None:
        scene.write_settings(settings)
        scene.kill("exporter", signal.SIGHUP)


class CertificateExpiring(_Service):
    """A certificate that nobody renewed."""

    name: ClassVar[str] = "certificate-expiring"
    summary: ClassVar[str] = "A server of the drill's own shows a certificate that ends in ten days."
    cap: ClassVar[str] = "one small process"
    alerts: ClassVar[tuple[str, ...]] = ("CertificateExpiresIn21Days",)
    may_end: ClassVar[frozenset[str]] = frozenset({"service"})
    days: ClassVar[int] = 10

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- the same everywhere
        """Return what this machine lacks for it."""
        return needs("openssl", "openssl")

    def stage(self, scene: Scene) -> None:
        """Start a server with a certificate for a year."""
        port = scene.facts["port"] = free_port()
        self._serve(scene, 365)
        check = {"name": _CHECK, "address": f"127.0.0.1:{port}", "tls": {"insecure": True}, **_TIMER}
        scene.watch({"probes": {"tls": [check]}})

    def ready(self, scene: Scene) -> str:
        """Ask for a certificate that is good for long."""
        return f'host_service_certificate_expiry_timestamp_seconds{{instance="{scene.instance}"}} - time() > 2e7'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- days
        """Show the old one."""
        scene.kill("service")
        self._serve(scene, self.days)

    def crossed(self, scene: Scene) -> str:
        """Ask for a certificate that ends soon."""
        return f'host_service_certificate_expiry_timestamp_seconds{{instance="{scene.instance}"}} - time() < 2e6'

    def recover(self, scene: Scene) -> None:
        """Show one for a year again."""
        scene.kill("service")
        self._serve(scene, 365)

    def _serve(self, scene: Scene, days: int) -> None:
        certificate, key = scene.folder / f"{days}.pem", scene.folder / f"{days}.key"
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        what = ["-subj", "/CN=drill", "-days", str(days), "-keyout", str(key), "-out", str(certificate)]
        scene.run([*new, *what])
        scene.victim("service", "tls", str(scene.facts["port"]), str(certificate), str(key))


class CertificateAlmostExpired(CertificateExpiring):
    """A certificate that nobody renewed, and its last days."""

    name: ClassVar[str] = "certificate-almost-expired"
    summary: ClassVar[str] = "A server of the drill's own shows a certificate that ends in two days."
    alerts: ClassVar[tuple[str, ...]] = ("CertificateExpiresIn3Days",)
    days: ClassVar[int] = 2


class ProcessGroupKilled(Fault):
    """Processes that have to be there are not."""

    name: ClassVar[str] = "process-group-killed"
    summary: ClassVar[str] = "Every process of a group of the drill's own is killed."
    cap: ClassVar[str] = "three processes that sleep"
    alerts: ClassVar[tuple[str, ...]] = ("ProcessGroupGone",)
    may_end: ClassVar[frozenset[str]] = frozenset({"worker1", "worker2", "worker3"})
    lag: ClassVar[float] = 2.0

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels of the group."""
        return {"instance": scene.instance, "group": "drill"}

    def stage(self, scene: Scene) -> None:
        """Start the group and have it watched."""
        self._start(scene)
        group = {"name": "drill", "match": {"command_line": f"{scene.folder}/sleep"}}
        scene.watch({"collectors": {"process_groups": {"interval": "1s", "top": 0, "groups": [group]}}})

    def _start(self, scene: Scene) -> None:
        # the command line names the drill: others that sleep do not belong to it
        code = "import time; time.sleep(3600)"
        for number in (1, 2, 3):
            scene.start(f"worker{number}", ["/usr/bin/env", "python3", "-S", "-c", code, f"{scene.folder}/sleep"])

    def ready(self, scene: Scene) -> str:
        """Ask for all three."""
        return f'host_process_group_processes{{instance="{scene.instance}"}} == 3'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Kill them."""
        for number in (1, 2, 3):
            scene.kill(f"worker{number}")

    def crossed(self, scene: Scene) -> str:
        """Ask for none."""
        return f'host_process_group_processes{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Start them again."""
        self._start(scene)


def api_at(where: str) -> dict[str, str]:
    """Return the settings of a services API at HOST or HOST:PORT."""
    return {"name": "drill", "url": f"http://{where}", "interval": "5s", "timeout": "2s"}


class _Api(Fault):
    """A services API of the drill's own with two instances of one service."""

    lag: ClassVar[float] = 8.0
    may_end: ClassVar[frozenset[str]] = frozenset({"api"})
    cap: ClassVar[str] = "one small process"

    def stage(self, scene: Scene) -> None:
        """Start both."""
        port = scene.facts["port"] = free_port()
        scene.facts["file"] = scene.folder / "healthy"
        scene.facts["file"].write_text("2")
        self._start(scene)
        scene.watch({"probes": {"services_api": [api_at(f"127.0.0.1:{port}")]}})

    def _start(self, scene: Scene) -> None:
        scene.victim("api", "api", str(scene.facts["port"]), str(scene.facts["file"]))

    def ready(self, scene: Scene) -> str:
        """Ask for two healthy instances."""
        return f'host_api_service_instances{{instance="{scene.instance}",health="healthy"}} == 2'


class ApiDown(_Api):
    """Nobody answers."""

    name: ClassVar[str] = "services-api-down"
    summary: ClassVar[str] = "A services API of the drill's own is killed."
    alerts: ClassVar[tuple[str, ...]] = ("ServicesApiUnreachable",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Kill it."""
        scene.kill("api")

    def crossed(self, scene: Scene) -> str:
        """Ask for polls that fail."""
        return f'host_api_up{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Start it again."""
        self._start(scene)


class InstancesSick(_Api):
    """Too few of them are well."""

    name: ClassVar[str] = "instances-unhealthy"
    summary: ClassVar[str] = "One of the two instances of a service, as an API of the drill's own tells, gets too busy."
    alerts: ClassVar[tuple[str, ...]] = ("ServiceTooFewInstances",)

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- whole instances
        """Tell of one."""
        scene.facts["file"].write_text("1")

    def crossed(self, scene: Scene) -> str:
        """Ask for too few."""
        return f'host_api_service_instances{{instance="{scene.instance}",health="healthy"}} < 2'

    def recover(self, scene: Scene) -> None:
        """Tell of two."""
        scene.facts["file"].write_text("2")
