"""Units of systemd (org.freedesktop.systemd1 on the system bus)."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from exporter.collector import NoData
from exporter.collectors.sysfs import Absence, Sample, Sheet
from exporter.exposition import Block, Family, number
from exporter.settings.values import Regex

if TYPE_CHECKING:
    from exporter.clients.systemd import Systemd, Unit

UNIT_STATE: Final = Family(
    "node_systemd_unit_state",
    "gauge",
    "1 for the state that the unit is in, 0 for the others; type: that of a service (systemd, Unit.ActiveState).",
    ("name", "state", "type"),
)
UNITS: Final = Family("node_systemd_units", "gauge", "Units by state (systemd, Unit.ActiveState).", ("state",))
VERSION: Final = Family(
    "node_systemd_version", "gauge", "Version of systemd, as a number and in full (systemd, Version).", ("version",)
)
RUNNING: Final = Family(
    "node_systemd_system_running", "gauge", "1 if the system is up and no unit has failed (systemd, SystemState)."
)
LAST_TRIGGER: Final = Family(
    "node_systemd_timer_last_trigger_seconds",
    "gauge",
    "When the timer last went off, seconds since the epoch; 0 for never (systemd, Timer.LastTriggerUSec).",
    ("name",),
)
ACCEPTED: Final = Family(
    "node_systemd_socket_accepted_connections_total",
    "counter",
    "Connections that the socket accepted (systemd, Socket.NAccepted).",
    ("name",),
)
CURRENT: Final = Family(
    "node_systemd_socket_current_connections",
    "gauge",
    "Connections open on the socket (systemd, Socket.NConnections).",
    ("name",),
)
REFUSED: Final = Family(
    "node_systemd_socket_refused_connections_total",
    "gauge",  # a counter by its name; the type is node_exporter's
    "Connections that the socket refused, since systemd 239 (systemd, Socket.NRefused).",
    ("name",),
)
START_TIME: Final = Family(
    "node_systemd_unit_start_time_seconds",
    "gauge",
    "When the unit became active, seconds since the epoch; 0 if it is not (systemd, Unit.ActiveEnterTimestamp).",
    ("name",),
)
TASKS: Final = Family(
    "node_systemd_unit_tasks_current", "gauge", "Tasks of the service (systemd, Service.TasksCurrent).", ("name",)
)
TASKS_MAX: Final = Family(
    "node_systemd_unit_tasks_max", "gauge", "Tasks that the service may have (systemd, Service.TasksMax).", ("name",)
)
RESTARTS: Final = Family(
    "node_systemd_service_restart_total",
    "counter",
    "Times systemd restarted the service by itself, since systemd 235 (systemd, Service.NRestarts).",
    ("name",),
)

STATES: Final = ("active", "activating", "deactivating", "inactive", "failed")

_MICROSECONDS: Final = 1_000_000
# what systemd says where it does not count, or where there is no limit
_INFINITE: Final = 2**64 - 1
_VERSION: Final = re.compile(r"[0-9]{3,}(?:\.[0-9]+)?")

_SOCKET: Final = (("NAccepted", ACCEPTED), ("NConnections", CURRENT), ("NRefused", REFUSED))


class Options(NamedTuple):
    """Which units, by their whole names, and what takes one more question for each."""

    include: Regex = Regex(".+")
    exclude: Regex = Regex(r".+\.(automount|device|mount|scope|slice|target)")
    start_times: bool = False
    tasks: bool = False
    restarts: bool = False

    def wants(self, unit: "Unit") -> bool:
        """Return whether a unit is to be exposed."""
        included = self.include.pattern.fullmatch(unit.name) is not None
        return included and self.exclude.pattern.fullmatch(unit.name) is None and unit.load_state == "loaded"


class Question(NamedTuple):
    """A property to ask for: object path, interface, name; and where its value goes."""

    asks: tuple[str, str, str]
    family: Family
    labels: tuple[str, ...] = ()


class SystemdUnits:
    """States of units, connections of sockets, last runs of timers. Without a system bus there is no data."""

    name: ClassVar[str] = "systemd"
    families: ClassVar[tuple[Family, ...]] = (
        UNIT_STATE,
        UNITS,
        VERSION,
        RUNNING,
        LAST_TRIGGER,
        ACCEPTED,
        CURRENT,
        REFUSED,
        START_TIME,
        TASKS,
        TASKS_MAX,
        RESTARTS,
    )
    TIMEOUT: Final = 4.0
    # somebody may edit a service's file: its type is asked for when a unit changed, and at least this often
    TYPES_SECONDS: Final = 60.0

    def __init__(self, options: Options, bus: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the options, the socket of the system bus, and the clock by which types grow old."""
        self._options = options
        self._bus = bus
        self._clock = clock
        self._absence = Absence(clock)
        self._systemd: Systemd | None = None
        self._units: list[Unit] | None = None
        self._questions: list[Question] = []
        self._messages: list[bytes] = []
        self._never_started: list[Sample] = []
        self._old_at = 0.0
        self._states_text: Block = b""
        self._states = Sheet()
        self._values = Sheet()

    @property
    def blocking(self) -> bool:
        """Whether there is a system bus to ask."""
        return not self._absence.holds() and os.access(self._bus, os.F_OK)

    def collect(self) -> Block:
        """Return the rows. Blocks for TIMEOUT at most in each of three rounds of questions.

        Raises NoData without a system bus or without systemd on it, BusError when they do not answer as they should.
        """
        if not self.blocking:
            if not self._absence.holds():
                self._absence.note()
            self._systemd = None
            raise NoData
        if self._systemd is None:
            self._systemd = _connect(self._bus, self.TIMEOUT)
        units = self._systemd.read_units()
        if units is None:
            raise NoData
        if units is not self._units or self._clock() >= self._old_at:
            self._rebuild(self._systemd, units)
        answers = self._systemd.read_properties(self._messages)
        values = chain(_samples(self._questions, answers), self._never_started)
        return self._states_text + self._values.render(values)

    def _rebuild(self, systemd: "Systemd", units: "list[Unit]") -> None:
        self._units = None  # an error below must not leave half of it
        wanted = [unit for unit in units if self._options.wants(unit)]
        typed = [unit for unit in wanted if unit.suffix in {"service", "mount"}]
        types = systemd.read_properties([systemd.ask(unit.path, unit.suffix.capitalize(), "Type") for unit in typed])
        type_of = {unit.name: str(kind or "") for unit, kind in zip(typed, types, strict=True)}
        self._states_text = self._states.render(_state_samples(units, wanted, type_of))
        self._questions = list(_questions(wanted, self._options))
        self._messages = [systemd.ask(*question.asks) for question in self._questions]
        if self._options.start_times:
            self._never_started = [(START_TIME, (u.name,), b"0") for u in wanted if u.active_state != "active"]
        self._units = units
        self._old_at = self._clock() + self.TYPES_SECONDS


def _connect(bus: str, timeout: float) -> "Systemd":
    from exporter.clients.systemd import Systemd  # noqa: PLC0415 -- memory: most containers have no system bus

    return Systemd(bus, timeout)


def _state_samples(units: "list[Unit]", wanted: "list[Unit]", type_of: dict[str, str]) -> Iterator[Sample]:
    for unit in wanted:
        for state in STATES:
            labels = (unit.name, state, type_of.get(unit.name, ""))
            yield UNIT_STATE, labels, b"1" if state == unit.active_state else b"0"
    counts = dict.fromkeys(STATES, 0)
    for unit in units:
        counts[unit.active_state] = counts.get(unit.active_state, 0) + 1
    for state, count in counts.items():
        yield UNITS, (state,), b"%d" % count


def _questions(units: "list[Unit]", options: Options) -> Iterator[Question]:
    manager = "/org/freedesktop/systemd1"
    yield Question((manager, "Manager", "Version"), VERSION)
    yield Question((manager, "Manager", "SystemState"), RUNNING)
    for unit in units:
        labels = (unit.name,)
        if unit.suffix == "timer":
            yield Question((unit.path, "Timer", "LastTriggerUSec"), LAST_TRIGGER, labels)
        elif unit.suffix == "socket":
            for name, family in _SOCKET:
                yield Question((unit.path, "Socket", name), family, labels)
        elif unit.suffix == "service" and options.tasks:
            yield Question((unit.path, "Service", "TasksCurrent"), TASKS, labels)
            yield Question((unit.path, "Service", "TasksMax"), TASKS_MAX, labels)
        if unit.suffix == "service" and options.restarts:
            yield Question((unit.path, "Service", "NRestarts"), RESTARTS, labels)
        if options.start_times and unit.active_state == "active":
            yield Question((unit.path, "Unit", "ActiveEnterTimestamp"), START_TIME, labels)


def _samples(questions: Sequence[Question], answers: Sequence[str | int | float | None]) -> Iterator[Sample]:
    for question, answer in zip(questions, answers, strict=True):
        family = question.family
        if family is VERSION:
            match = _VERSION.search(str(answer or ""))
            if match is not None:
                yield VERSION, (str(answer),), number(float(match[0]))
        elif family is RUNNING and isinstance(answer, str):
            yield RUNNING, (), b"1" if answer == "running" else b"0"
        elif isinstance(answer, int) and answer != _INFINITE:
            in_seconds = family in (LAST_TRIGGER, START_TIME)
            yield family, question.labels, number(answer / _MICROSECONDS) if in_seconds else b"%d" % answer
