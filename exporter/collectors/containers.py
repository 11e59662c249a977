"""Containers in every state (Docker Engine API), and what running ones use (control groups)."""

import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from exporter.collector import NoData
from exporter.collectors.cgroups import Groups, Usage
from exporter.collectors.container_families import (
    CPU,
    CREATED,
    EXIT_CODE,
    FINISHED,
    HEALTH,
    INFO,
    LIMIT,
    MEMORY,
    OOM_KILLED,
    OOM_KILLS,
    RESTARTS,
    STARTED,
    STATE,
)
from exporter.collectors.sysfs import Absence
from exporter.exposition import Block, Family
from exporter.kernel import KernelFiles
from exporter.logs import Log
from exporter.settings.containers import ContainersSettings

if TYPE_CHECKING:
    from exporter.clients.containers import Container
    from exporter.collectors.container_rows import ContainerRows, Reading

log = Log(__name__)


class ContainerUse(NamedTuple):
    """One container at the last scrape; None for what is not known or does not run."""

    name: str
    image: str
    state: str
    cpu_seconds_total: float | None
    memory_bytes: int | None


class ContainerStates:
    """Containers of a Docker Engine, exited ones included. Without its socket, or a right to it, there is no data."""

    name: ClassVar[str] = "containers"
    families: ClassVar[tuple[Family, ...]] = (
        STATE,
        HEALTH,
        EXIT_CODE,
        OOM_KILLED,
        RESTARTS,
        CREATED,
        STARTED,
        FINISHED,
        INFO,
        LIMIT,
        CPU,
        MEMORY,
        OOM_KILLS,
    )

    def __init__(
        self, files: KernelFiles, settings: ContainersSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the kernel's trees, the settings, and the clock by which absence grows old."""
        self.last: tuple[ContainerUse, ...] = ()
        """The containers at the last scrape, none when it could not read them. For any thread."""
        self.last_at: float | None = None
        """When that was, by the clock; None when it could not. To be read before `last`, which is set first."""
        self._clock = clock
        self._settings = settings
        self._files = files
        self._absence = Absence(clock)
        self._rows: ContainerRows | None = None
        self._reading: Reading | None = None
        self._is_told = False

    @property
    def blocking(self) -> bool:
        """Whether there is a socket to ask."""
        return not self._absence.holds() and os.access(self._settings.socket, os.F_OK)

    def collect(self) -> Block:
        """Return the rows. Blocks for the timeout of the settings at most.

        Raises NoData without a socket or permission, EngineError when there is no list of containers to be had.
        """
        reading = None
        try:
            reading = self._read()
        finally:
            if reading is None:
                self.last, self.last_at = (), None
        self.last = tuple(_use_of(one, usage) for one, usage in reading.uses)
        self.last_at = self._clock()
        return reading.block

    def _read(self) -> "Reading":
        if not self.blocking:
            self._give_up()
            raise NoData
        from exporter.clients.docker import NoEngineError, NoPermissionError  # noqa: PLC0415 -- see _make_rows

        if self._rows is None:
            self._rows = _make_rows(self._settings, self._files)
        try:
            reading = self._rows.read(self._settings.timeout)
        except NoEngineError as err:
            self._give_up()
            raise NoData from err
        except NoPermissionError as err:
            self._give_up()
            if not self._is_told:
                self._is_told = True
                log.warning("no permission for the container engine's socket", **_permission(self._settings.socket))
            raise NoData from err
        self._is_told = False
        return reading

    def _give_up(self) -> None:
        """Leave nothing open where there is nothing to ask, and look again a little later."""
        if not self._absence.holds():
            self._absence.note()
        if self._rows is not None:
            self._rows.close()
            self._rows = None


def _make_rows(settings: ContainersSettings, files: KernelFiles) -> "ContainerRows":
    # memory: not every machine has containers
    from exporter.collectors.container_rows import ContainerRows  # noqa: PLC0415

    return ContainerRows(settings.socket, settings.label_names, Groups(files))


def _permission(path: str) -> Mapping[str, object]:
    """Return what says why a socket is closed to us."""
    who = {"socket": path, "our_uid": os.geteuid(), "our_gids": sorted({os.getegid(), *os.getgroups()})}
    try:
        status = Path(path).stat()
    except OSError as err:
        return {**who, "reason": err.strerror}
    mode = stat.filemode(status.st_mode)
    return {**who, "mode": mode, "owner_uid": status.st_uid, "owner_gid": status.st_gid}


def _use_of(one: "Container", usage: Usage | None) -> ContainerUse:
    user, system = (usage.user_seconds, usage.system_seconds) if usage is not None else (None, None)
    seconds = None if user is None or system is None else user + system
    return ContainerUse(one.name, one.image, one.state, seconds, usage.memory_bytes if usage is not None else None)
