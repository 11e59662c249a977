"""Unit checks: the state of one of systemd's units, asked over the system bus."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from exporter.probes.attempt import Attempt, AttemptError, Reason
from exporter.probes.check import Schedule
from exporter.probes.errands import Errands
from exporter.probes.stopwatch import Stopwatch, measure
from exporter.settings.checks import UnitSettings

if TYPE_CHECKING:
    from exporter.clients.systemd import Systemd

# the longest that one round of questions holds the thread
BUS_SECONDS: Final = 4.0

Value = str | int | float | None


def path_of(unit: str) -> str:
    """Return the unit's object path, with all but letters and digits escaped (man org.freedesktop.systemd1)."""
    escaped = re.sub(r"[^A-Za-z0-9]|^[0-9]", lambda found: f"_{ord(found[0]):02x}", unit)
    return f"/org/freedesktop/systemd1/unit/{escaped}"


class Bus:
    """One bus, asked by one thread: the units of a bus that hangs hang together, and nobody else with them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._systemd: Systemd | None = None
        self._errands = Errands(f"bus {path}")

    async def ask(self, unit: str, deadline: float) -> "list[Value]":
        """Return load state, active state and restarts of a unit. Raises AttemptError where nobody can be asked."""

        def errand() -> "list[Value]":
            return self._ask(unit)

        return await self._errands.run(errand, deadline)

    def _ask(self, unit: str) -> "list[Value]":
        from exporter.clients.dbus import BusError  # noqa: PLC0415 -- for a setting only
        from exporter.clients.systemd import Systemd  # noqa: PLC0415

        if self._systemd is None:
            self._systemd = Systemd(self._path, BUS_SECONDS)
        path = path_of(unit)
        asks = [("Unit", "LoadState"), ("Unit", "ActiveState")]
        asks += [("Service", "NRestarts")] if unit.endswith(".service") else []
        try:
            return self._systemd.read_properties([Systemd.ask(path, *what) for what in asks])
        except BusError as err:
            raise AttemptError(Reason.NO_BUS, str(err)) from err


_buses: Final[dict[str, Bus]] = {}


def bus_at(path: str) -> Bus:
    """Return the one for this socket; it stays when settings are read again."""
    return _buses.setdefault(path, Bus(path))


class UnitCheck:
    """Asks systemd for a unit's state."""

    kind: ClassVar[str] = "unit"

    def __init__(self, settings: UnitSettings, bus: Callable[[str], Bus] = bus_at) -> None:
        self.name = settings.name
        self.target = settings.unit
        self.schedule = Schedule(settings.interval, settings.timeout, settings.retries, settings.retry_delay)
        self._settings = settings
        self._bus = bus(settings.bus)

    async def attempt(self, deadline: float) -> Attempt:
        """Ask once."""

        async def work(watch: Stopwatch) -> None:
            watch.enter("answer")
            load, active, *restarts = await self._bus.ask(self._settings.unit, deadline)
            watch.stop()
            # of a unit that it does not know systemd says 0
            if restarts and isinstance(restarts[0], int) and load != "not-found":
                watch.facts["unit_restarts_total"] = float(restarts[0])
            self._judge(load, active)

        attempt = await measure(work, deadline)
        if attempt.reason is Reason.TIMEOUT:  # the bus hangs: nobody knows of the unit
            return attempt._replace(outcome=Reason.NO_BUS.outcome, reason=Reason.NO_BUS)
        return attempt

    def _judge(self, load: Value, active: Value) -> None:
        unit, good = self._settings.unit, self._settings.state
        if active is None:
            raise AttemptError(Reason.NO_BUS, f"{self._settings.bus}: nobody there tells of {unit}: no systemd")
        if load == "not-found":
            raise AttemptError(Reason.NO_SUCH_UNIT, f"{unit}: systemd knows no such unit")
        if active not in good:
            raise AttemptError(Reason.UNIT_NOT_ACTIVE, f"{unit}: expected {' or '.join(good)}, got {active} ({load})")
