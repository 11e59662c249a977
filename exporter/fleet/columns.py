"""The columns of each table, and what programs get instead of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from exporter.fleet.arrange import Cell, Column
from exporter.fleet.model import Row, Status, Thresholds, percent
from exporter.fleet.views import ServiceStats

T = TypeVar("T")

_TONES: Final = {Status.HEALTHY: "good", Status.UNHEALTHY: "bad", Status.UNKNOWN: "unsure"}
MAX_REASON: Final = 200


def plain(text: str | None) -> str:
    """Return a text from elsewhere as a terminal may have it: what could move its cursor or colour it becomes `?`."""
    return "-" if text is None else "".join(char if char.isprintable() else "?" for char in text)


def _ratio(name: str, field: str, limit: float) -> Column[Row]:
    def value(row: Row) -> float | None:
        found: float | None = getattr(row, field)
        return found

    def tone(row: Row) -> str:
        found = value(row)
        return "" if found is None or found < limit else "bad"

    return Column(name, value, lambda row: percent(value(row)), tone, is_number=True)


_STATUS: Final[Column[Row]] = Column(
    "status", lambda row: row.status.value, lambda row: row.status.value.upper(), lambda row: _TONES[row.status]
)
_REASON: Final[Column[Row]] = Column(
    "reason", lambda row: row.reason or None, lambda row: plain(row.reason)[:MAX_REASON], lambda _row: "quiet"
)


def instance_columns(thresholds: Thresholds) -> tuple[Column[Row], ...]:
    """Return the columns of a services API's instances."""
    return (
        Column("ip", lambda row: row.name, lambda row: plain(row.name)),
        Column("service", lambda row: row.service, lambda row: plain(row.service)),
        _ratio("cpu", "cpu_ratio", thresholds.cpu),
        _ratio("memory", "memory_ratio", thresholds.memory),
        _STATUS,
        _REASON,
    )


def host_columns(thresholds: Thresholds, by: str) -> tuple[Column[Row], ...]:
    """Return the columns of Prometheus' hosts; the label that groups them is named by itself."""

    def alerts(row: Row) -> Cell:
        return row.alerts

    return (
        Column("host", lambda row: row.name, lambda row: plain(row.name)),
        Column(
            "environment", lambda row: row.labels.get("environment"), lambda row: plain(row.labels.get("environment"))
        ),
        Column(
            by if by not in {"host", "environment"} else "service",
            lambda row: row.service,
            lambda row: plain(row.service),
        ),
        _ratio("cpu", "cpu_ratio", thresholds.cpu),
        _ratio("memory", "memory_ratio", thresholds.memory),
        _ratio("disk", "disk_ratio", thresholds.disk),
        Column(
            "alerts",
            alerts,
            lambda row: "-" if row.alerts is None else str(row.alerts),
            lambda row: "bad" if row.alerts else "",
            is_number=True,
        ),
        _STATUS,
        _REASON,
    )


def _count(name: str, field: str, tone: str = "") -> Column[ServiceStats]:
    def value(stats: ServiceStats) -> float:
        found: int = getattr(stats, field)
        return found

    return Column(
        name, value, lambda stats: str(value(stats)), lambda stats: tone if value(stats) else "", is_number=True
    )


SERVICE_COLUMNS: Final[tuple[Column[ServiceStats], ...]] = (
    Column("service", lambda stats: stats.service, lambda stats: plain(stats.service)),
    Column(
        "status",
        lambda stats: stats.status.value,
        lambda stats: stats.status.value.upper(),
        lambda stats: _TONES[stats.status],
    ),
    _count("instances", "instances"),
    _count("healthy", "healthy"),
    _count("unhealthy", "unhealthy", "bad"),
    _count("unknown", "unknown", "unsure"),
    Column("cpu", lambda stats: stats.cpu_ratio, lambda stats: percent(stats.cpu_ratio), is_number=True),
    Column("memory", lambda stats: stats.memory_ratio, lambda stats: percent(stats.memory_ratio), is_number=True),
)


def row_fields(row: Row, key: str) -> dict[str, Any]:
    """Return a row as JSON has it, its name under `key`: ratios 0 to 1, and what is not known is missing."""
    return known(
        {
            key: row.name,
            "service": row.service,
            "cpu_ratio": row.cpu_ratio,
            "memory_ratio": row.memory_ratio,
            "disk_ratio": row.disk_ratio,
            "alerts": row.alerts,
            "status": row.status.value,
            "reason": row.reason or None,
            "labels": dict(row.labels) or None,
        }
    )


def service_fields(stats: ServiceStats) -> dict[str, Any]:
    """Return a service as JSON has it: ratios 0 to 1, and what is not known is missing."""
    return known({**stats._asdict(), "status": stats.status.value})


def known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def used(columns: Sequence[Column[T]], rows: Sequence[T]) -> list[Column[T]]:
    """Return the columns without those that are only there for what none of the rows has."""
    rare = {"reason", "environment", "alerts"}
    return [column for column in columns if column.name not in rare or any(column.value(row) for row in rows)]
