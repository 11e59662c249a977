"""Faults of the whole machine, by stress-ng: CPU and memory. The drill's own exporter and the real one see them."""

import os
import shutil
from pathlib import Path
from typing import ClassVar, Final

from exporter.drills import site as sites
from exporter.drills.children import Limits
from exporter.drills.fault import Expected, Fault
from exporter.drills.scene import Scene, SceneError
from exporter.drills.site import Site

_MB: Final = 1024 * 1024
# stress-ng ends by itself after this, whatever happens to us
_SECONDS: Final = 3600


def needs(program: str, package: str) -> list[str]:
    """Return what to install where a program is missing."""
    return [] if shutil.which(program) else [f"{program} is missing: apt-get install {package}"]


def available() -> tuple[int, int]:
    """Return bytes of memory that programs can have, and bytes of all memory (/proc/meminfo)."""
    rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return tuple(int(rows[key].split()[0]) * 1024 for key in ("MemAvailable", "MemTotal"))  # type: ignore[return-value]


def floor(total: int) -> int:
    """Return how much memory a drill leaves to others, in bytes."""
    return max(512 * _MB, total * 8 // 100)


class Cpu(Fault):
    """Every core busy with what nobody needs, behind everybody else."""

    name: ClassVar[str] = "cpu"
    summary: ClassVar[str] = "stress-ng keeps every core busy, two workers for each."
    cap: ClassVar[str] = "nice 19: whoever wants a core gets it; one hour"
    alerts: ClassVar[tuple[str, ...]] = ("HostCpuHigh", "HostPressureHigh")
    whole_host: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    has_threshold: ClassVar[bool] = True
    tasks: ClassVar[int] = 2 * (os.cpu_count() or 1)

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- the same everywhere
        """Return what this machine lacks for it."""
        pressure = Path("/proc/pressure/cpu").exists()
        return needs("stress-ng", "stress-ng") + ([] if pressure else ["the kernel has no /proc/pressure (psi=1)"])

    def expected(self, scene: Scene) -> tuple[Expected, ...]:
        """Return both; pressure is the CPU's."""
        own = self.labels(scene)
        return (Expected("HostCpuHigh", own), Expected("HostPressureHigh", {**own, "resource": "cpu"}))

    def stage(self, scene: Scene) -> None:
        """Start an exporter of the drill's own."""
        scene.watch({"collectors": {"cpu": {}, "pressure": {}}})

    def ready(self, scene: Scene) -> str:
        """Ask for a CPU that is quiet."""
        return (
            f'instance:cpu_busy_ratio:avg5m{{instance="{scene.instance}"}}'
            f" < on (instance) host:threshold:cpu_usage_ratio"
        )

    def inject(self, scene: Scene, strength: float) -> None:
        """Start stress-ng; 0.8 of the threshold is a load that its workers keep to."""
        cores = os.cpu_count() or 1
        query = f'host:threshold:cpu_usage_ratio{{instance="{scene.instance}"}}'
        limit = sites.value(scene.site.options, query) or 0.8
        load = ["--cpu", str(self.tasks)] if strength >= 1 else []
        load = load or ["--cpu", str(cores), "--cpu-load", str(round(100 * limit * strength))]
        stress(scene, load, Limits(nice=19, seconds=_SECONDS))

    def level(self, scene: Scene, share: float) -> str:
        """Ask for the average that the alert looks at."""
        return (
            f'instance:cpu_busy_ratio:avg5m{{instance="{scene.instance}"}}'
            f" > on (instance) host:threshold:cpu_usage_ratio * {share:g}"
        )

    def recover(self, scene: Scene) -> None:
        """End stress-ng."""
        scene.kill("stress-ng")


class Memory(Fault):
    """Memory that somebody keeps."""

    name: ClassVar[str] = "memory"
    summary: ClassVar[str] = "stress-ng takes memory up to three points above the threshold, and keeps it."
    cap: ClassVar[str] = "leaves 8 % of the memory, 512 MB at least; first to go when memory runs out; one hour"
    alerts: ClassVar[tuple[str, ...]] = ("HostMemoryHigh",)
    whole_host: ClassVar[bool] = True
    has_threshold: ClassVar[bool] = True

    def missing(self, site: Site) -> list[str]:
        """Return what this machine lacks for it, memory included."""
        out = needs("stress-ng", "stress-ng")
        total = available()[1]
        if not site.options.gentle and total * 17 // 100 < floor(total):
            out.append(f"{total // _MB} MB of memory: above the threshold less than 512 MB would be left (--gentle)")
        return out

    def stage(self, scene: Scene) -> None:
        """Start an exporter of the drill's own; with --gentle its threshold is a little above what is in use now.

        Or as far above it as 0.8 of the threshold still is a little more than is in use now.
        """
        free, total = available()
        if scene.site.options.gentle:
            limit = 1 - free / total + 0.04 if scene.strength >= 1 else (1 - free / total + 0.02) / scene.strength
            scene.rows(f'host_threshold_override{{threshold="memory_usage_ratio"}} {limit:.4f}')
        scene.watch({"collectors": {"meminfo": {}}})

    def ready(self, scene: Scene) -> str:
        """Ask for memory that is free."""
        return (
            f'instance:memory_usage_ratio:avg5m{{instance="{scene.instance}"}}'
            f" < on (instance) host:threshold:memory_usage_ratio"
        )

    def inject(self, scene: Scene, strength: float) -> None:
        """Take what is missing to the threshold and three points more."""
        query = f'host:threshold:memory_usage_ratio{{instance="{scene.instance}"}}'
        limit = sites.value(scene.site.options, query) or 0.8
        free, total = available()
        wanted = limit + 0.03 if strength >= 1 else limit * strength
        size = int(wanted * total - (total - free))
        if free - size < floor(total):
            raise SceneError(
                f"{free // _MB} MB are free: {size // _MB} more would leave less than {floor(total) // _MB}"
            )
        if size < _MB:
            raise SceneError("more memory is in use than the drill would take")
        command = ["--vm", "1", "--vm-bytes", str(size), "--vm-keep", "--vm-populate", "--oomable"]
        stress(scene, command, Limits(memory_bytes=size + 256 * _MB, seconds=_SECONDS))

    def level(self, scene: Scene, share: float) -> str:
        """Ask for the average that the alert looks at."""
        return (
            f'instance:memory_usage_ratio:avg5m{{instance="{scene.instance}"}}'
            f" > on (instance) host:threshold:memory_usage_ratio * {share:g}"
        )

    def recover(self, scene: Scene) -> None:
        """End stress-ng."""
        scene.kill("stress-ng")


def stress(scene: Scene, arguments: list[str], limits: Limits, folder: Path | None = None) -> None:
    """Start stress-ng; it keeps its name, so that its environment stays readable and the undo finds it."""
    where = str(folder or scene.folder)
    command = ["stress-ng", *arguments, "--timeout", str(_SECONDS), "--keep-name", "--temp-path", where]
    scene.start("stress-ng", command, limits=limits)
