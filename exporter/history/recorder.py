"""Keeps the top lists: of each new scan of processes, and of each new reading of containers."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from exporter.history.keys import Key
from exporter.history.tops import ContainerLike, ProcessLike, Tops

_NOTHING: Final[Mapping[Key, float]] = {}


class ScanLike(Protocol):
    """A scan of all processes."""

    @property
    def monotonic(self) -> float:
        """When it began."""
        ...

    @property
    def top_cpu(self) -> Sequence[ProcessLike]:
        """The names that used most CPU."""
        ...

    @property
    def top_memory(self) -> Sequence[ProcessLike]:
        """The names that used most memory."""
        ...

    @property
    def other_cores(self) -> float | None:
        """None where there are no lists."""
        ...


class ContainersLike(Protocol):
    """What reads containers, at scrapes."""

    @property
    def last_at(self) -> float | None:
        """When it last did, by the clock that only goes forward; None when it could not. Set behind `last`."""
        ...

    @property
    def last(self) -> Sequence[ContainerLike]:
        """What it found."""
        ...


class Recorder:
    """A source of the sampler that brings no values of its own: it looks whether there is a new list to keep."""

    def __init__(
        self,
        tops: Tops,
        last_scan: Callable[[], ScanLike | None],
        containers: ContainersLike | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tops = tops
        self._last_scan = last_scan
        self._containers = containers
        self._clock = clock
        self._scanned_at = self._read_at = -1.0

    def __call__(self) -> Mapping[Key, float]:
        """Keep what is new."""
        scan = self._last_scan()
        if scan is not None and scan.monotonic > self._scanned_at and scan.other_cores is not None:
            self._scanned_at = scan.monotonic
            uses = {use.name: use for use in (*scan.top_cpu, *scan.top_memory)}
            self._tops.add_processes(self._clock() - scan.monotonic, uses.values())
        read_at = None if self._containers is None else self._containers.last_at
        if self._containers is not None and read_at is not None and read_at > self._read_at:
            self._read_at = read_at
            self._tops.add_containers(self._clock() - read_at, self._containers.last)
        return _NOTHING
