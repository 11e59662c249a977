"""Faults of file systems, on a small one of the drill's own: full, out of inodes, read-only, busy."""

import os
import re
from pathlib import Path
from typing import Any, ClassVar, Final

from exporter.drills.children import Limits
from exporter.drills.fault import Fault
from exporter.drills.faults.host import needs, stress
from exporter.drills.scene import Scene
from exporter.drills.site import Site

_MB: Final = 1024 * 1024
_SIZE: Final = 16 * _MB
_INODES: Final = 400
_BUSY_SIZE: Final = 128 * _MB


def needs_mount() -> list[str]:
    """Return what is missing for a file system in a file."""
    root = [] if os.geteuid() == 0 else ["mounting needs root: sudo hostwatch drill"]
    loop = [] if Path("/dev/loop-control").exists() else ["there are no loop devices: modprobe loop"]
    return root + loop + needs("mkfs.ext4", "e2fsprogs")


class _OnDisk(Fault):
    """A file system in a file, and an exporter that looks at nothing else."""

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- the same everywhere
        """Return what this machine lacks for it."""
        return needs_mount()

    def stage(self, scene: Scene) -> None:
        """Mount it and have it watched."""
        scene.facts["disk"] = disk = scene.disk(_SIZE, _INODES)
        scene.watch(only(disk))

    def ready(self, scene: Scene) -> str:
        """Ask for the file system."""
        disk = scene.facts["disk"]
        return f'node_filesystem_size_bytes{{instance="{scene.instance}",mountpoint="{disk}"}}'


def _used(disk: Path) -> int:
    size = os.statvfs(disk)
    return (size.f_blocks - size.f_bavail) * size.f_frsize


def only(path: Path) -> dict[str, Any]:
    """Return settings of an exporter that sees this mount point and no other."""
    return {"collectors": {"filesystem": {"mount_points_exclude": f"^(?!{re.escape(str(path))}$)"}}}


class DiskFill(_OnDisk):
    """A file that takes most of it."""

    name: ClassVar[str] = "disk-fill"
    summary: ClassVar[str] = "A file fills a file system of 16 MB, made for it, to 86 %."
    cap: ClassVar[str] = "16 MB"
    alerts: ClassVar[tuple[str, ...]] = ("HostDiskSpaceLow",)
    has_threshold: ClassVar[bool] = True
    threshold: ClassVar[float] = 0.8
    share: ClassVar[float] = 0.86

    def inject(self, scene: Scene, strength: float) -> None:
        """Write the file."""
        disk, share = scene.facts["disk"], self.share if strength >= 1 else self.threshold * strength
        size = os.statvfs(disk)
        with (disk / "fill").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, int(size.f_blocks * size.f_frsize * share) - _used(disk))

    def level(self, scene: Scene, share: float) -> str:
        """Ask for the share that is used."""
        own = f'instance="{scene.instance}"'
        used = f"1 - node_filesystem_avail_bytes{{{own}}} / node_filesystem_size_bytes{{{own}}}"
        return f"{used} > {self.threshold * share:g}"

    def recover(self, scene: Scene) -> None:
        """Remove the file."""
        (scene.facts["disk"] / "fill").unlink()


class DiskFull(DiskFill):
    """A file that takes it all."""

    name: ClassVar[str] = "disk-full"
    summary: ClassVar[str] = "A file fills a file system of 16 MB, made for it, to 97 %."
    alerts: ClassVar[tuple[str, ...]] = ("HostDiskAlmostFull",)
    has_threshold: ClassVar[bool] = False  # below it the lower one's alert is right to come
    threshold: ClassVar[float] = 0.9
    share: ClassVar[float] = 0.97


class InodeFill(_OnDisk):
    """Files without content."""

    name: ClassVar[str] = "inode-fill"
    summary: ClassVar[str] = "Empty files use 97 % of the inodes of a file system made for it."
    cap: ClassVar[str] = "a file system of 16 MB"
    alerts: ClassVar[tuple[str, ...]] = ("HostInodesLow",)
    has_threshold: ClassVar[bool] = True

    def inject(self, scene: Scene, strength: float) -> None:
        """Make the files; 0.8 of the threshold (0.9) is 0.72."""
        share, disk = 0.97 if strength >= 1 else 0.9 * strength, scene.facts["disk"]
        inodes = os.statvfs(disk)
        for number in range(int(inodes.f_files * share) - (inodes.f_files - inodes.f_ffree)):
            (disk / f"{number}").touch()

    def level(self, scene: Scene, share: float) -> str:
        """Ask for the share that is used."""
        own = f'instance="{scene.instance}"'
        return f"1 - node_filesystem_files_free{{{own}}} / node_filesystem_files{{{own}}} > {0.9 * share:g}"

    def recover(self, scene: Scene) -> None:
        """Remove the files."""
        for path in scene.facts["disk"].iterdir():
            path.unlink()


class DiskReadOnly(_OnDisk):
    """A file system that takes nothing any more."""

    name: ClassVar[str] = "disk-read-only"
    summary: ClassVar[str] = "A file system made for it becomes read-only."
    cap: ClassVar[str] = "16 MB"
    alerts: ClassVar[tuple[str, ...]] = ("HostDiskReadOnly",)

    def ready(self, scene: Scene) -> str:
        """Ask for a file system that is known to have been writable."""
        return f'instance_mountpoint:filesystem_readonly:min5m{{instance="{scene.instance}"}} == 0'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- it is so or not
        """Remount it."""
        scene.run(["mount", "-o", "remount,ro", str(scene.facts["disk"])])

    def crossed(self, scene: Scene) -> str:
        """Ask for the flag."""
        return f'node_filesystem_readonly{{instance="{scene.instance}"}} == 1'

    def recover(self, scene: Scene) -> None:
        """Remount it."""
        scene.run(["mount", "-o", "remount,rw", str(scene.facts["disk"])])


class DiskIo(Fault):
    """A device that is asked for more than it can do."""

    name: ClassVar[str] = "disk-io"
    summary: ClassVar[str] = "Sixteen workers of stress-ng write to a loop device made for it."
    cap: ClassVar[str] = "128 MB of a file; one hour"
    alerts: ClassVar[tuple[str, ...]] = ("HostDiskIoSaturated",)
    tasks: ClassVar[int] = 16

    def missing(self, site: Site) -> list[str]:  # noqa: ARG002 -- the same everywhere
        """Return what this machine lacks for it."""
        return needs_mount() + needs("stress-ng", "stress-ng")

    def stage(self, scene: Scene) -> None:
        """Make a file system in a file, mount it and have its device watched."""
        scene.facts["disk"] = disk = scene.disk(_BUSY_SIZE, _INODES)
        number = os.minor(disk.stat().st_dev)
        scene.facts["device"] = f"loop{number}"
        if scene.site.options.gentle:
            limits = {"disk_io_busy_ratio": 0.3, "disk_io_queue_requests": 1}
            scene.rows(*(f'host_threshold_override{{threshold="{name}"}} {limit}' for name, limit in limits.items()))
        scene.watch({"collectors": {"diskstats": {"device_include": f"loop{number}", "device_exclude": "^$"}}})

    def ready(self, scene: Scene) -> str:
        """Ask for the device."""
        return f'node_disk_io_time_seconds_total{{instance="{scene.instance}",device="{scene.facts["device"]}"}}'

    def inject(self, scene: Scene, strength: float) -> None:  # noqa: ARG002 -- no threshold
        """Start stress-ng."""
        command = ["--hdd", str(self.tasks), "--hdd-bytes", "4M", "--hdd-opts", "direct,rd-rnd,wr-rnd"]
        stress(scene, command, Limits(nice=5, seconds=3600), scene.facts["disk"])

    def crossed(self, scene: Scene) -> str:
        """Ask for the share of time that is busy."""
        own = f'{{instance="{scene.instance}"}}'
        busy = f"instance_device:disk_io_busy_ratio:rate5m{own}"
        return f"{busy} > on (instance, device) host:threshold:disk_io_busy_ratio{own}"

    def recover(self, scene: Scene) -> None:
        """End stress-ng."""
        scene.kill("stress-ng")
