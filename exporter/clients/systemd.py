"""What systemd tells of its units, over the system bus."""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from exporter.clients.dbus import PROPERTIES, Body, BusError, Call, Connection, Reply, encode_call

SERVICE: Final = "org.freedesktop.systemd1"
MANAGER_PATH: Final = "/org/freedesktop/systemd1"
MANAGER: Final = "org.freedesktop.systemd1.Manager"

_ABSENT: Final = frozenset(f"org.freedesktop.DBus.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner"))


class Unit(NamedTuple):
    """One unit as ListUnits tells it."""

    name: str
    load_state: str
    active_state: str
    path: str

    @property
    def suffix(self) -> str:
        """What kind of unit it is: service, socket, timer, ..."""
        return self.name.rpartition(".")[2]


_LIST_UNITS: Final = encode_call(Call(SERVICE, MANAGER_PATH, MANAGER, "ListUnits"))


class Systemd:
    """systemd of this machine. Connects at the first question and again when the bus was restarted; for one thread."""

    def __init__(self, bus: str, timeout: float) -> None:
        """Take the bus' socket, and the seconds that each round of questions may take."""
        self._bus = bus
        self._timeout = timeout
        self._connection: Connection | None = None
        self._listed = b""
        self._units: list[Unit] = []

    @staticmethod
    def ask(path: str, interface: str, name: str) -> bytes:
        """Return the question for a property of an object, of an interface (Unit, Service, Manager, ...) of systemd's.

        Made once for many scrapes: encoding takes longer than sending.
        """
        return encode_call(Call(SERVICE, path, PROPERTIES, "Get", (f"{SERVICE}.{interface}", name)))

    def read_units(self) -> list[Unit] | None:
        """Return the units in memory, the same object while nothing changed; None where the bus knows no systemd.

        Raises BusError when the bus or systemd does not answer as it should.
        """
        reply = self._call([_LIST_UNITS])[0]
        if reply.error in _ABSENT:
            return None
        if reply.error is not None:
            raise BusError(f"{self._bus}: ListUnits: {reply.error}")
        if reply.body.data != self._listed:
            try:
                units = parse_units(reply.body)
            except struct.error as err:
                raise BusError(f"{self._bus}: ListUnits: {err}") from err
            self._units, self._listed = units, reply.body.data
        return self._units

    def read_properties(self, questions: Sequence[bytes]) -> list[str | int | float | None]:
        """Return the answers to questions made by `ask`; None for what the object has not. Raises BusError."""
        try:
            return [None if reply.error is not None else reply.body.variant() for reply in self._call(questions)]
        except struct.error as err:
            raise BusError(f"{self._bus}: Get: {err}") from err

    def _call(self, calls: Sequence[bytes]) -> list[Reply]:
        connection, self._connection = self._connection, None  # kept below, when it is of use still
        if connection is not None:
            try:
                replies = connection.call(calls)
            except BusError:
                connection.close()  # the bus was restarted, most likely: once more from the start
            else:
                self._connection = connection
                return replies
        connection = Connection(self._bus, self._timeout)
        replies = connection.call(calls)
        self._connection = connection
        return replies


def parse_units(body: Body) -> list[Unit]:
    """Return the units of a reply to ListUnits, an array of (ssssssouso). Raises struct.error for what is none.

    Fields: name, description, load, active and sub state, followed unit, object path, job, its type and path
    (man org.freedesktop.systemd1).
    """
    units = []
    end = int(body.number("I"))
    body.align(8)
    end += body.offset
    while body.offset < end:
        body.align(8)
        name, _, load_state, active_state, _, _, path = [body.string() for _ in range(7)]
        body.number("I")
        body.string()
        body.string()
        units.append(Unit(name, load_state, active_state, path))
    if body.offset != len(body.data):
        raise struct.error(f"{len(body.data) - body.offset} bytes beyond the units")
    return units
