"""The views: what rows say about services. Pure functions of their arguments."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Final, NamedTuple

from exporter.fleet.model import Row, Status

DEFAULT_HEALTHY_INSTANCES: Final = 2


class ServiceStats(NamedTuple):
    """One service: how it is, and the averages of its instances."""

    service: str
    status: Status
    """Unhealthy when fewer than the wanted number of its instances are healthy, healthy else."""
    instances: int
    healthy: int
    unhealthy: int
    unknown: int
    cpu_ratio: float | None
    """Mean of those that told it, 0 to 1; None where none did. So is `memory_ratio`."""
    memory_ratio: float | None


def service_stats(
    rows: Iterable[Row], service: str, healthy_instances: int = DEFAULT_HEALTHY_INSTANCES
) -> ServiceStats:
    """Return what the rows of one service say; a service without rows has no instance and is unhealthy."""
    mine = [row for row in rows if row.service == service]
    statuses = [row.status for row in mine]
    healthy = statuses.count(Status.HEALTHY)
    return ServiceStats(
        service,
        Status.HEALTHY if healthy >= healthy_instances else Status.UNHEALTHY,
        len(mine),
        healthy,
        statuses.count(Status.UNHEALTHY),
        statuses.count(Status.UNKNOWN),
        _mean([row.cpu_ratio for row in mine]),
        _mean([row.memory_ratio for row in mine]),
    )


def health(rows: Sequence[Row], healthy_instances: int = DEFAULT_HEALTHY_INSTANCES) -> tuple[ServiceStats, ...]:
    """Return every service that rows name, by name. Rows whose service is not known (`strays`) are in none."""
    by_service: dict[str, list[Row]] = {}
    for row in rows:
        if row.service is not None:
            by_service.setdefault(row.service, []).append(row)
    return tuple(service_stats(by_service[name], name, healthy_instances) for name in sorted(by_service))


def strays(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows whose service is not known: any of them may be of any service."""
    return tuple(row for row in rows if row.service is None)


def all_healthy(statuses: Iterable[Status]) -> bool:
    """Whether there is anything, and all of it is healthy: what is unknown is not."""
    seen = set(statuses)
    return seen == {Status.HEALTHY}


def _mean(ratios: Sequence[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return fmean(known) if known else None
