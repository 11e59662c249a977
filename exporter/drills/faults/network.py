"""Faults of a network: slow, lossy, cut, dropping; of a network of the drill's own with one far host in it."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from exporter.drills.fault import Fault
from exporter.drills.faults.host import needs
from exporter.drills.faults.services import api_at
from exporter.drills.namespace import DEVICE, FAR_HOST, SPEED_MBIT
from exporter.drills.scene import Scene, SceneError, free_port
from exporter.drills.site import Site

_INNER: Final = 10101
_API: Final = 8080
_PING: Final = {"enabled": True, "targets": [FAR_HOST], "interval": "1s", "count": 1, "timeout": "1s"}


class _Network(Fault):
    """An exporter in a network of its own, which pings the one host there."""

    cap: ClassVar[str] = "a network namespace; no packet leaves it"
    lag: ClassVar[float] = 3.0
    how: ClassVar[Mapping[str, Any]] = {}
    """What the far host is told, where it is always the same."""
    settings: ClassVar[Mapping[str, Any]] = {
        "probes": {"ping": _PING},
        "collectors": {"netdev": {"device_include": DEVICE}},
    }

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- the same everywhere
        """Return what this machine lacks for it."""
        root = [] if os.geteuid() == 0 else ["a network of its own needs root: sudo hostwatch drill"]
        tun = [] if Path("/dev/net/tun").exists() else ["there is no /dev/net/tun: modprobe tun"]
        return root + tun + needs("ip", "iproute2")

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels of the target."""
        return {"instance": scene.instance, "target": FAR_HOST}

    def stage(self, scene: Scene) -> None:
        """Start the network with the exporter in it."""
        port = free_port()
        scene.facts["file"] = scene.folder / "how.json"
        scene.write_settings(self.settings)
        settings = str(scene.folder / "exporter.yml")
        serve = [sys.executable, "-m", "exporter", "serve", "--config", settings, "--listen", f"127.0.0.1:{_INNER}"]
        address, file = scene.site.options.address, str(scene.facts["file"])
        around = [sys.executable, "-m", "exporter.drills.namespace", address, str(port), file, str(_INNER)]
        scene.start("network", [*around, *self.wrapper(scene), *serve])
        scene.register("node", port)

    def wrapper(self, scene: Scene) -> tuple[str, ...]:  # noqa: ARG002 -- of those that need something
        """Return what starts the exporter."""
        return ()

    def ready(self, scene: Scene) -> str:
        """Ask for answers."""
        return f'host_ping_received_total{{instance="{scene.instance}"}} > 2'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- of those that have a threshold
        """Tell the far host."""
        scene.facts["file"].write_text(json.dumps(self.how))

    def recover(self, scene: Scene) -> None:
        """Let the far host answer again."""
        scene.facts["file"].write_text("{}")


class NetworkLatency(_Network):
    """Answers come late."""

    name: ClassVar[str] = "network-latency"
    summary: ClassVar[str] = "The one host of a network of the drill's own answers pings 0.5 seconds late."
    alerts: ClassVar[tuple[str, ...]] = ("PingLatencyHigh",)
    has_threshold: ClassVar[bool] = True

    def inject(self, scene: Scene, strength: float) -> None:
        """Tell the far host; 0.8 of the threshold (0.2 s) is 0.16 s, of which the way takes a little."""
        delay = 0.5 if strength >= 1 else 0.19 * strength
        scene.facts["file"].write_text(json.dumps({"delay": delay}))

    def level(self, scene: Scene, share: float) -> str:
        """Ask for the mean that the alert looks at."""
        return f'instance_target:ping_latency_seconds:rate5m{{instance="{scene.instance}"}} > {0.2 * share:g}'


class PacketLoss(_Network):
    """Some answers never come."""

    name: ClassVar[str] = "packet-loss"
    summary: ClassVar[str] = "The one host of a network of the drill's own answers every other ping."
    alerts: ClassVar[tuple[str, ...]] = ("PingLossHigh",)
    has_threshold: ClassVar[bool] = True
    # so many that 0.8 of the threshold is not over it now and then, however short a window Prometheus looks at
    settings: ClassVar[Mapping[str, Any]] = {
        "probes": {"ping": {**_PING, "interval": "2s", "count": 20, "packet_interval": "50ms"}},
        "collectors": {"netdev": {"device_include": DEVICE}},
    }

    def ready(self, scene: Scene) -> str:
        """Ask for answers; below the threshold for a whole window of them, as few are lost while everything starts."""
        if scene.strength >= 1:
            return super().ready(scene)
        return f'instance_target:ping_loss_ratio:rate5m{{instance="{scene.instance}"}} == 0'

    def inject(self, scene: Scene, strength: float) -> None:
        """Tell the far host; 0.8 of the threshold (0.1) is 0.08."""
        scene.facts["file"].write_text(json.dumps({"loss": 0.5 if strength >= 1 else 0.1 * strength}))

    def level(self, scene: Scene, share: float) -> str:
        """Ask for the share that the alert looks at."""
        own = f'{{instance="{scene.instance}"}}'
        lost = f"instance_target:ping_loss_ratio:rate5m{own}"
        return f"{lost} > on (instance, target) host:threshold:ping_loss_ratio{own} * {share:g}"


class HostUnreachable(_Network):
    """No answer comes."""

    name: ClassVar[str] = "host-unreachable"
    summary: ClassVar[str] = "The one host of a network of the drill's own answers no ping."
    alerts: ClassVar[tuple[str, ...]] = ("PingUnreachable",)
    how: ClassVar[Mapping[str, Any]] = {"loss": 1.0}

    def crossed(self, scene: Scene) -> str:
        """Ask for pings without an answer."""
        own = f'{{instance="{scene.instance}"}}'
        return f"host_ping_sent_total{own} - host_ping_received_total{own} > 2"


class _OfDevice(_Network):
    """Its alert names the device."""

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels of the device."""
        return {"instance": scene.instance, "device": DEVICE}


class PacketsDropped(_OfDevice):
    """The device's queue is full."""

    name: ClassVar[str] = "packets-dropped"
    summary: ClassVar[str] = "The device of a network of the drill's own takes half of the packets that are sent to it."
    alerts: ClassVar[tuple[str, ...]] = ("HostNetworkDrops",)
    how: ClassVar[Mapping[str, Any]] = {"reads": 25}

    def crossed(self, scene: Scene) -> str:
        """Ask for drops."""
        own = f'{{instance="{scene.instance}",device="{DEVICE}"}}'
        return f"node_network_transmit_drop_total{own} > 0"


class LinkSaturated(_OfDevice):
    """As much as the link can carry."""

    name: ClassVar[str] = "link-saturated"
    summary: ClassVar[str] = "A device of 10 Mbit/s in a network of the drill's own is sent as much as it can carry."
    cap: ClassVar[str] = "10 Mbit/s in a network namespace; no packet leaves it"
    alerts: ClassVar[tuple[str, ...]] = ("HostLinkSaturated",)
    has_threshold: ClassVar[bool] = True
    settings: ClassVar[Mapping[str, Any]] = {
        "collectors": {"netdev": {"device_include": DEVICE}, "netclass": {"ignored_devices": f"^(?!{DEVICE}$)"}},
    }

    def ready(self, scene: Scene) -> str:
        """Ask for a link whose speed is known."""
        return f'node_network_speed_bytes{{instance="{scene.instance}",device="{DEVICE}"}} > 0'

    def inject(self, scene: Scene, strength: float) -> None:
        """Tell how much to send; 0.8 of the threshold (0.9) is 0.72 of the speed."""
        share = 1.0 if strength >= 1 else 0.9 * strength
        scene.facts["file"].write_text(json.dumps({"sends": share * SPEED_MBIT * 1e6 / 8}))

    def level(self, scene: Scene, share: float) -> str:
        """Ask for the share of the speed that the alert looks at."""
        own = f'{{instance="{scene.instance}",device="{DEVICE}"}}'
        used = f"instance_device:link_usage_ratio:rate5m{own}"
        return f"{used} > on (instance, device) host:threshold:link_usage_ratio{own} * {share:g}"


class PingImpossible(_Network):
    """Nobody may ask."""

    name: ClassVar[str] = "ping-impossible"
    summary: ClassVar[str] = "An exporter in a network of the drill's own is told to ping and has no right to."
    alerts: ClassVar[tuple[str, ...]] = ("PingCannotAsk",)
    settings: ClassVar[Mapping[str, Any]] = {}

    def missing(self, site: Site) -> list[str]:
        """Return what this machine lacks for it."""
        return super().missing(site) + needs("setpriv", "util-linux") + needs("nsenter", "util-linux")

    def wrapper(self, scene: Scene) -> tuple[str, ...]:  # noqa: ARG002 -- always the same
        """Take the right away; ping_group_range lets nobody in a new network either."""
        return ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw")

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels of the exporter."""
        return {"instance": scene.instance}

    def ready(self, scene: Scene) -> str:
        """Ask for the exporter."""
        return f'up{{instance="{scene.instance}"}} == 1'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Tell it to ping."""
        _tell(scene, {"probes": {"ping": _PING}})

    def crossed(self, scene: Scene) -> str:
        """Ask for its word."""
        return f'host_ping_possible{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Let root's group ping in that network."""
        inside = ["nsenter", "-t", str(scene.children["network"].pid), "-n", "sh", "-c"]
        scene.run([*inside, "echo 0 0 > /proc/sys/net/ipv4/ping_group_range"])
        os.kill(_exporter(scene), signal.SIGHUP)


class ApiUnroutable(_Network):
    """No way leads to it, so nothing is known of it."""

    name: ClassVar[str] = "services-api-unroutable"
    summary: ClassVar[str] = "An exporter in a network of the drill's own is told to ask an API that no route leads to."
    alerts: ClassVar[tuple[str, ...]] = ("ServicesApiCannotAsk",)
    lag: ClassVar[float] = 8.0
    settings: ClassVar[Mapping[str, Any]] = {"probes": {"services_api": [api_at(f"127.0.0.1:{_API}")]}}

    def wrapper(self, scene: Scene) -> tuple[str, ...]:
        """Start an API beside the exporter."""
        healthy = scene.folder / "healthy"
        healthy.write_text("2")
        api = shlex.join([sys.executable, "-m", "exporter.drills.victims", "api", str(_API), str(healthy)])
        return ("sh", "-c", f'{api} & exec "$@"', "sh")

    def labels(self, scene: Scene) -> Mapping[str, str]:
        """Return the labels of the API."""
        return {"instance": scene.instance, "api": "drill"}

    def ready(self, scene: Scene) -> str:
        """Ask for polls that are answered."""
        return f'host_api_up{{instance="{scene.instance}"}} == 1'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Name an address of somewhere else (RFC 5737); this network leads nowhere else."""
        _tell(scene, {"probes": {"services_api": [api_at("198.51.100.1")]}})

    def crossed(self, scene: Scene) -> str:
        """Ask for its word."""
        return f'host_api_check_possible{{instance="{scene.instance}"}} == 0'

    def recover(self, scene: Scene) -> None:
        """Name the one that answers."""
        _tell(scene, self.settings)


def _tell(scene: Scene, settings: Mapping[str, Any]) -> None:
    """Give the exporter in the network other settings. Raises SceneError when it is gone."""
    scene.write_settings(settings)
    os.kill(_exporter(scene), signal.SIGHUP)


def _exporter(scene: Scene) -> int:
    """Return the process in the network. Raises SceneError when it is gone."""
    pid = scene.children["network"].pid
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    except (OSError, IndexError) as err:
        raise SceneError("the exporter in the drill's own network is gone") from err
