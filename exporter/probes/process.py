"""Process checks: how many processes of this machine match."""

from collections.abc import Callable
from typing import ClassVar

from exporter.probes.attempt import Attempt, AttemptError, Reason
from exporter.probes.check import Schedule
from exporter.probes.stopwatch import Stopwatch, measure
from exporter.settings.checks import ProcessSettings
from exporter.settings.processes import Match


class ProcessCheck:
    """Counts processes in the last look at all of them."""

    kind: ClassVar[str] = "process"

    def __init__(self, settings: ProcessSettings, count: Callable[[Match], int | None]) -> None:
        """Take what counts them, from memory; None while nobody has looked."""
        self.name = settings.name
        self.target = ", ".join(f"{key} {value}" for key, value in _given(settings.match))
        self.schedule = Schedule(settings.interval, settings.timeout, settings.retries, settings.retry_delay)
        self._settings = settings
        self._count = count

    async def attempt(self, deadline: float) -> Attempt:
        """Count once."""
        return await measure(self._judge, deadline)

    async def _judge(self, watch: Stopwatch) -> None:
        settings = self._settings
        number = self._count(settings.match)
        if number is None:
            raise AttemptError(Reason.NO_DATA, "processes have not been looked at yet")
        watch.facts["processes"] = float(number)
        if number < settings.minimum:
            raise AttemptError(Reason.TOO_FEW_PROCESSES, f"expected {settings.minimum} or more, got {number}")
        if settings.maximum is not None and number > settings.maximum:
            raise AttemptError(Reason.TOO_MANY_PROCESSES, f"expected {settings.maximum} or fewer, got {number}")


def _given(match: Match) -> list[tuple[str, str]]:
    fields = ((name, getattr(match, name)) for name in match.__struct_fields__)
    return [(name, str(value)) for name, value in fields if value is not None]
