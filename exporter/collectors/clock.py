"""The system's clock: its time, its zone, and what the kernel counts it with (/sys/devices/system/clocksource)."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from exporter.exposition import Block, Family, Layout, number, text_of
from exporter.kernel import KernelError, KernelFile, KernelFiles

_FOLDER: Final = "sys/devices/system/clocksource"
SECONDS: Final = Family("node_time_seconds", "gauge", "Time of the system's clock, seconds since the epoch (time(2)).")
OFFSET: Final = Family(
    "node_time_zone_offset_seconds",
    "gauge",
    "Seconds by which local time is ahead of UTC (/etc/localtime).",
    ("time_zone",),
)
AVAILABLE: Final = Family(
    "node_time_clocksource_available_info",
    "gauge",
    f"1 for each clock source that the kernel could use (/{_FOLDER}).",
    ("clocksource", "device"),
)
CURRENT: Final = Family(
    "node_time_clocksource_current_info",
    "gauge",
    f"1 for the clock source that the kernel uses (/{_FOLDER}).",
    ("clocksource", "device"),
)


class Clock:
    """Time, zone and clock sources; `device` counts the kernel's clocksource folders from 0."""

    name: ClassVar[str] = "time"
    families: ClassVar[tuple[Family, ...]] = (AVAILABLE, CURRENT, OFFSET, SECONDS)
    blocking: ClassVar[bool] = False

    def __init__(
        self,
        files: KernelFiles,
        clock: Callable[[], float] = time.time,
        local: Callable[[float], time.struct_time] = time.localtime,
    ) -> None:
        folders = sorted(path.name for path in Path(files.path(_FOLDER)).glob("clocksource*"))
        self._sources = [_files_of(files, folder) for folder in folders]
        self._clock = clock
        self._local = local
        self._texts: list[bytes] | None = None
        self._zone: tuple[str, int] = ("", 0)
        self._static = b""
        self._seconds = Layout([(SECONDS, [()])])

    def collect(self) -> Block:
        """Return every row. Raises KernelError when a clock source's file is not the kernel's."""
        texts = [file.read() for source in self._sources for file in source]
        now = self._clock()
        local = self._local(now)
        zone = local.tm_zone, local.tm_gmtoff
        if texts != self._texts or zone != self._zone:
            self._static = _static_rows(texts, *zone)
            self._texts, self._zone = texts, zone
        return self._static + self._seconds.fill([number(now)])


def _files_of(files: KernelFiles, folder: str) -> tuple[KernelFile, KernelFile]:
    base = f"{_FOLDER}/{folder}"
    names = (f"{base}/available_clocksource", f"{base}/current_clocksource")
    return files.open(names[0], whole=True), files.open(names[1], whole=True)


def _static_rows(texts: list[bytes], zone: str, offset: int) -> Block:
    """Return what seldom changes; `texts` are the two files of each clocksource folder in turn."""
    available, current = [], []
    for index in range(0, len(texts), 2):
        device = str(index // 2)
        available += [(name, device) for name in parse_sources("available_clocksource", texts[index])]
        current += [(name, device) for name in parse_sources("current_clocksource", texts[index + 1])[:1]]
    layout = Layout([(AVAILABLE, available), (CURRENT, current), (OFFSET, [(zone,)])])
    return layout.fill([b"1"] * (len(available) + len(current)) + [number(offset)])


def parse_sources(file: str, text: bytes) -> list[str]:
    """Return the names in a clock source's file, in the kernel's order. Raises KernelError naming the file."""
    names = text.split()
    if not text.endswith(b"\n") or not names or not all(map(_NAME.fullmatch, names)):
        raise KernelError(f"{_FOLDER}/{file}: expected names on one line, got {text[:80]!r}")
    return [text_of(name) for name in dict.fromkeys(names)]


_NAME: Final = re.compile(rb"[!-~]+")
