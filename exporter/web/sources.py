"""What the exporter's pages tell of."""

from typing import TYPE_CHECKING, NamedTuple

from exporter.history import History
from exporter.settings.exporter import Dashboard

if TYPE_CHECKING:
    from exporter.collectors.runner import Runner


class Sources(NamedTuple):
    """What the endpoints tell of."""

    history: History
    is_sampled: bool
    """Whether anything is added to the history."""
    runner: "Runner | None" = None
    """Reads what the answers are made of; without it they tell of the history alone."""
    timeout: float = 5.0
    """Seconds that a collector may take."""
    dashboard: Dashboard = Dashboard()
