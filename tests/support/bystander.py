"""What a machine goes through while others watch it, by psutil and the kernel's averages: which alarm was right."""

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

import psutil

EVERY_SECONDS: Final = 1.0
# of what an alert's threshold is: who looks at other moments sees other peaks
MARGIN: Final = 0.8
# what hostwatch leaves out: always full, or in memory
_NOT_WATCHED: Final = ("squashfs", "iso9660", "udf", "overlay", "tmpfs", "ramfs")


class Bystander:
    """Looks every second; keeps the worst of each thing, as a share of 1."""

    def __init__(self) -> None:
        self.worst: dict[str, float] = {}
        self._kills = _oom_kills()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Bystander":
        psutil.cpu_percent()  # the first answer is none
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def explains(self, alert: str, labels: dict[str, str]) -> bool:
        """Say whether the machine really was as an alert says; no other alert has an excuse."""
        if alert == "HostOomKill":
            return _oom_kills() > self._kills
        seen = {
            "HostCpuHigh": ("cpu", 0.80),
            "HostMemoryHigh": ("memory", 0.80),
            "HostSwapHigh": ("swap", 0.80),
            "HostPressureHigh": (f"pressure {labels.get('resource')}", 0.50),
            # requests queue up for whole minutes: somebody waits for them
            "HostDiskIoSaturated": ("pressure io", 0.50),
            "HostDiskSpaceLow": (f"disk {labels.get('mountpoint')}", 0.80),
            "HostDiskAlmostFull": (f"disk {labels.get('mountpoint')}", 0.90),
            "HostInodesLow": (f"inodes {labels.get('mountpoint')}", 0.90),
        }.get(alert)
        return seen is not None and self.worst.get(seen[0], 0.0) > seen[1] * MARGIN

    def _run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            for name, share in self._look().items():
                self.worst[name] = max(share, self.worst.get(name, 0.0))

    def _look(self) -> dict[str, float]:
        found = {
            "cpu": psutil.cpu_percent() / 100,
            "memory": psutil.virtual_memory().percent / 100,
            "swap": psutil.swap_memory().percent / 100,
            **_pressure(),
        }
        for part in psutil.disk_partitions(all=False):
            if part.fstype not in _NOT_WATCHED:
                with contextlib.suppress(OSError):  # unmounted meanwhile
                    there = os.statvfs(part.mountpoint)
                    found[f"disk {part.mountpoint}"] = 1 - there.f_bavail / max(1, there.f_blocks)
                    found[f"inodes {part.mountpoint}"] = 1 - there.f_ffree / max(1, there.f_files)
        return found


def _pressure() -> dict[str, float]:
    """Return the share of the last 10 s in which a task waited, by what it waited for (/proc/pressure)."""
    found = {}
    for resource in ("cpu", "io", "memory"):
        with contextlib.suppress(OSError):
            first = Path(f"/proc/pressure/{resource}").read_text().split()[1]
            found[f"pressure {resource}"] = float(first.partition("=")[2]) / 100
    return found


def _oom_kills() -> int:
    lines = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return next((int(value) for name, value in lines if name == "oom_kill"), 0)
