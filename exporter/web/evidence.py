"""Who did it: what was kept of one moment, as `GET /api/v1/evidence` tells it. What is not known is left out."""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import UNSET, UnsetType

from exporter.history import ContainerRow, History, Key, Moment, ProcessRow
from exporter.web.times import rfc3339

Number = float | UnsetType


class SampleTime(msgspec.Struct, frozen=True):
    """When the sample was taken."""

    time: str
    timestamp_seconds: float


class Host(msgspec.Struct, frozen=True):
    """Usage of the whole machine since the sample before, 0 to 1."""

    cpu_usage_ratio: Number = UNSET
    memory_usage_ratio: Number = UNSET
    swap_usage_ratio: Number = UNSET


class FileSystemThen(msgspec.Struct, frozen=True):
    """How full a file system was, 0 to 1."""

    mountpoint: str
    usage_ratio: float


class LatencyThen(msgspec.Struct, frozen=True):
    """The last round of pings to a target."""

    target: str
    latency_seconds: Number = UNSET
    loss_ratio: Number = UNSET


class ServiceThen(msgspec.Struct, frozen=True):
    """The last result of a check; one that could not be asked is missing."""

    check: str
    kind: str
    up: bool


class Process(msgspec.Struct, frozen=True):
    """What all processes of one name used."""

    name: str
    processes: int
    cpu_cores: float
    resident_bytes: int
    read_bytes_per_second: Number = UNSET
    written_bytes_per_second: Number = UNSET


class ContainerThen(msgspec.Struct, frozen=True):
    """What one container used."""

    name: str
    image: str
    cpu_cores: Number = UNSET
    memory_bytes: int | UnsetType = UNSET


class Evidence(msgspec.Struct, frozen=True):
    """All that was kept of one moment."""

    at: str
    """The moment that was asked for, in UTC."""
    sample: SampleTime
    host: Host
    filesystems: list[FileSystemThen] | UnsetType = UNSET
    latency: list[LatencyThen] | UnsetType = UNSET
    services: list[ServiceThen] | UnsetType = UNSET
    processes: list[Process] | UnsetType = UNSET
    containers: list[ContainerThen] | UnsetType = UNSET


# lists are made less often than samples are taken: how much older than the moment one may be, seconds
PROCESSES_SECONDS = 90.0
CONTAINERS_SECONDS = 90.0


def evidence_of(history: History, wall: float) -> Evidence | None:
    """Return what was kept of a moment, seconds since the epoch; None where nothing was."""
    moment = history.at(wall)
    if moment is None:
        return None
    values = moment.values
    boot, after = history.since_boot(wall), history.interval / 2
    processes = history.tops.processes_at(boot - PROCESSES_SECONDS, boot + after)
    containers = history.tops.containers_at(boot - CONTAINERS_SECONDS, boot + after)
    return Evidence(
        at=rfc3339(wall),
        sample=_sample_time(moment),
        host=Host(*(_value(values, key) for key in ("cpu", "memory", "swap"))),
        filesystems=[FileSystemThen(key[1], _short(values[key])) for key in _keys(values, "filesystem")] or UNSET,
        latency=list(_latency(values)) or UNSET,
        services=[ServiceThen(key[2], key[1], values[key] > 0.5) for key in _keys(values, "service")] or UNSET,
        processes=UNSET if processes is None else [process_of(row) for row in processes],
        containers=UNSET if containers is None else [_container(row) for row in containers],
    )


def _sample_time(moment: Moment) -> SampleTime:
    seconds = round(moment.wall, 3)
    return SampleTime(rfc3339(seconds), seconds)


def _keys(values: Mapping[Key, float], kind: str) -> list[Key]:
    return sorted(key for key in values if key[0] == kind)


def _short(value: float) -> float:
    """Return a value with the digits that the past keeps of it: it is stored in 4 bytes."""
    return float(f"{value:.6g}")


def _value(values: Mapping[Key, float], *key: str) -> Number:
    found = values.get(key)
    return UNSET if found is None else _short(found)


def _latency(values: Mapping[Key, float]) -> Iterator[LatencyThen]:
    targets = {key[1] for key in (*_keys(values, "latency"), *_keys(values, "loss"))}
    for target in sorted(targets):
        yield LatencyThen(target, _value(values, "latency", target), _value(values, "loss", target))


def _known(value: float | None) -> Number:
    return UNSET if value is None else value


def process_of(row: ProcessRow) -> Process:
    """Return a row of the history as it is told."""
    read, written = _known(row.read_bytes_per_second), _known(row.written_bytes_per_second)
    return Process(row.name, row.processes, row.cpu_cores, row.resident_bytes, read, written)


def _container(row: ContainerRow) -> ContainerThen:
    memory = UNSET if row.memory_bytes is None else row.memory_bytes
    return ContainerThen(row.name, row.image, _known(row.cpu_cores), memory)
