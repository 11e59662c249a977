"""CPU and memory of containers, from the files of their control groups, version 1 or 2.

The engine's own statistics take a second or more for each container; these files take microseconds.
"""

import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from exporter.collectors.cgroup_paths import Finder
from exporter.kernel import KernelError, KernelFile, KernelFiles

ROOT: Final = "sys/fs/cgroup"
# four files each stay open for as many containers; more are opened each time, which takes three times as long
MAX_KEPT: Final = 64
# a group that was not found is looked for again after this
RETRY_SECONDS: Final = 60.0
# memory.stat is read anew after this at the latest
STILL_SECONDS: Final = 60.0
_MICROSECONDS: Final = 1_000_000


class Usage(NamedTuple):
    """What a container used; None for what its group does not tell."""

    user_seconds: float | None
    system_seconds: float | None
    memory_bytes: int | None
    """Without the page cache that can go at once: its working set."""
    oom_kills: int | None


class Version(NamedTuple):
    """The files of one version of control groups: folders of the controllers, names, keys."""

    name: str
    cpu: str
    memory: str
    events: str
    stat: str
    cpu_keys: tuple[bytes, bytes]
    cpu_unit: float
    inactive: bytes
    hierarchies: tuple[str, ...]


def version_1(ticks_per_second: int) -> Version:
    """Return the files of version 1 (Documentation/admin-guide/cgroup-v1), one hierarchy for each controller."""
    return Version(
        name="1",
        cpu="cpuacct/{}/cpuacct.stat",
        memory="memory/{}/memory.usage_in_bytes",
        events="memory/{}/memory.oom_control",
        stat="memory/{}/memory.stat",
        cpu_keys=(b"user", b"system"),
        cpu_unit=1 / ticks_per_second,
        inactive=b"total_inactive_file",
        hierarchies=("memory", "cpuacct"),
    )


VERSION_2: Final = Version(  # Documentation/admin-guide/cgroup-v2.rst
    name="2",
    cpu="{}/cpu.stat",
    memory="{}/memory.current",
    events="{}/memory.events",
    stat="{}/memory.stat",
    cpu_keys=(b"user_usec", b"system_usec"),
    cpu_unit=1 / _MICROSECONDS,
    inactive=b"inactive_file",
    hierarchies=("",),
)


class _Group:
    """The files of one container."""

    def __init__(self, files: KernelFiles, version: Version, path: str) -> None:
        names = (version.cpu, version.memory, version.stat, version.events)
        self._version = version
        self._files = [files.open_own(f"{ROOT}/{name.format(path)}", whole=True) for name in names]
        self._texts = [b""] * len(names)
        self._read_at = -math.inf
        self._usage = Usage(None, None, None, None)

    def read(self, now: float, *, keep: bool) -> Usage:
        """Return what the files hold now, the same object while that is the same; they stay open if `keep`.

        Where neither CPU time nor memory moved, the rest did not either, but for pages that grow old: the kernel counts
        memory.stat together at each reading, which takes longer than all others.
        """
        texts = [_read(file) for file in self._files[:2]]
        if texts == self._texts[:2] and now - self._read_at < STILL_SECONDS:
            texts = self._texts
        else:
            texts += [_read(file) for file in self._files[2:]]
            self._read_at = now
        if not keep:
            self.close()
        if texts != self._texts:
            self._texts, self._usage = texts, self._parse(*texts)
        return self._usage

    def _parse(self, cpu: bytes, memory: bytes, stat: bytes, events: bytes) -> Usage:
        user, system = [_field(cpu, key) for key in self._version.cpu_keys]
        used, inactive = _digits(memory), _field(stat, self._version.inactive)
        unit = self._version.cpu_unit
        return Usage(
            None if user is None else user * unit,
            None if system is None else system * unit,
            None if used is None or inactive is None else max(used - inactive, 0),
            _field(events, b"oom_kill"),
        )

    def close(self) -> None:
        for file in self._files:
            file.close()


def _read(file: KernelFile) -> bytes:
    """Return the file's content, b"" when there is none."""
    for _ in range(2):  # a restarted container has another group with the same path: the open file is that of the old
        try:
            return file.read()
        except KernelError:
            continue
    return b""


def _field(text: bytes, key: bytes) -> int | None:
    """Return the number behind a key at the beginning of a line, None when it is not there or cut short."""
    key += b" "
    at = 0 if text.startswith(key) else text.find(b"\n" + key) + 1
    if at == 0 and not text.startswith(key):
        return None
    return _digits(text[at + len(key) : text.find(b"\n", at) + 1])


def _digits(text: bytes) -> int | None:
    return int(text) if text.endswith(b"\n") and text[:-1].isdigit() else None


class Groups:
    """The control groups of containers, found once each. For one thread."""

    def __init__(
        self,
        files: KernelFiles,
        clock: Callable[[], float] = time.monotonic,
        ticks_per_second: int | None = None,
    ) -> None:
        self._files = files
        self._root = Path(files.path(ROOT))
        self._clock = clock
        self._ticks = os.sysconf("SC_CLK_TCK") if ticks_per_second is None else ticks_per_second
        self._version: Version | None = None
        self._finder: Finder | None = None
        self._groups: dict[str, _Group] = {}
        self._retry_at: dict[str, float] = {}

    def read(self, containers: Iterable[tuple[str, int]]) -> dict[str, Usage]:
        """Return the use of containers, given by id and process id (0 where it is not known); forget all others.

        One whose group is not found, or has no such files, is not among them.
        """
        wanted = dict(containers)
        for gone in self._groups.keys() - wanted.keys():
            self._groups.pop(gone).close()
        self._retry_at = {key: at for key, at in self._retry_at.items() if key in wanted}
        self._find_missing(wanted)
        usages = {}
        now = self._clock()
        for count, (container, group) in enumerate(self._groups.items()):
            usage = group.read(now, keep=count < MAX_KEPT)
            if usage != (None, None, None, None):
                usages[container] = usage
        return usages

    def close(self) -> None:
        """Close all files."""
        for group in self._groups.values():
            group.close()
        self._groups.clear()

    def _find_missing(self, wanted: dict[str, int]) -> None:
        now = self._clock()
        missing = [key for key in wanted if key not in self._groups and self._retry_at.get(key, now) <= now]
        if not missing:
            return
        if self._version is None or self._finder is None:
            self._version = self._detect()
            self._finder = Finder(self._files, self._root, self._version.hierarchies)
        for container, path in self._finder.find([(key, wanted[key]) for key in missing]).items():
            if path is None:
                self._retry_at[container] = now + RETRY_SECONDS
            else:
                self._groups[container] = _Group(self._files, self._version, path)

    def _detect(self) -> Version:
        return VERSION_2 if (self._root / "cgroup.controllers").exists() else version_1(self._ticks)
