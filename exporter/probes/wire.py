"""Echo requests under way: which answer belongs to which packet, and how long it took.

Round trips are measured on the monotonic clock, from right before the kernel took the packet to when the answer was
read; what that lay in the socket's buffer is taken off again. The kernel stamps its receipt on CLOCK_REALTIME, so only
the distance from then to reading counts. Where that clock was stepped while the packet was under way the answer counts,
without a time. Answers may therefore be read late, many at a time, or after this process was stopped.
"""

import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from exporter.logs import Log
from exporter.probes.attempt import Reason, reason_of
from exporter.probes.icmp import COOKIE_BYTES, Answer, EchoSocket, Mode, open_socket
from exporter.probes.resolver import Address

log = Log(__name__)

# by how much the wall clock's lead over the monotonic one may change: both are slewed alike, so that is a step
_STEP_NS: Final = 20_000
# the two are read one behind the other, which takes under 1 us unless this process is moved off its core in between
_READING_NS: Final = 10_000
_READINGS: Final = 10
# how long a packet that was given up is remembered, so that what still comes is known as late or double
_REMEMBERED_NS: Final = 10_000_000_000


class Clocks(NamedTuple):
    """Where moments come from, in nanoseconds."""

    monotonic: Callable[[], int] = time.monotonic_ns
    wall: Callable[[], int] = time.time_ns


REAL: Final = Clocks()


class Opener(Protocol):
    """Opens a socket for an address family."""

    def __call__(self, family: int, payload_bytes: int) -> EchoSocket:
        """Return it. Raises PermissionError where that is not allowed, another OSError where it cannot be."""
        ...


class Packet:
    """One echo request and its fate."""

    __slots__ = (
        "_cookie",
        "_destination",
        "_lead",
        "_sent",
        "answered",
        "closed",
        "late",
        "reason",
        "round_trip",
        "unclear",
    )

    def __init__(self, cookie: bytes, destination: str, reason: Reason | None = None) -> None:
        self._cookie = cookie
        self._destination = destination
        self._sent = 0
        self._lead = 0
        self.reason = reason
        """What came instead of an answer, None while nothing did."""
        self.answered = False
        """Whether an answer came in time."""
        self.round_trip: int | None = None
        """Nanoseconds; None while there is no answer in time, or where it could not be timed."""
        self.late = False
        self.unclear = False
        """There is an answer, and nobody can say whether it came in time."""
        self.closed = False
        """Set by the owner when it has given up; what comes then is late."""

    def depart(self, monotonic: int, lead: int) -> None:
        """Note when it was sent, and the wall clock's lead over the monotonic one at that time."""
        self._sent = monotonic
        self._lead = lead

    def is_older_than(self, nanoseconds: int, monotonic: int) -> bool:
        """Whether it was sent longer ago than that."""
        return monotonic - self._sent > nanoseconds

    def is_answered_by(self, answer: Answer) -> bool:
        """Whether an answer carries its cookie and comes from where it went."""
        return answer.cookie == self._cookie and answer.source == self._destination

    def went_to(self, destination: str) -> bool:
        """Whether it was sent there."""
        return destination == self._destination

    def time_trip(self, stamp: int | None, monotonic: int, lead: int) -> tuple[int, int | None]:
        """Return the nanoseconds from sending to reading, and to the kernel's receipt where that can be told."""
        whole = monotonic - self._sent
        if stamp is None or abs(lead - self._lead) > _STEP_NS:
            return whole, None
        waited = monotonic + lead - stamp
        return whole, whole - waited if 0 <= waited <= whole else None


class Wire:
    """The sockets, the packets under way and those given up shortly before. Used on the event loop only."""

    def __init__(self, payload_bytes: int, timeout: float, clocks: Clocks = REAL, opener: Opener = open_socket) -> None:
        self._payload_bytes = payload_bytes
        self._timeout = round(timeout * 1e9)
        self._clocks = clocks
        self._open = opener
        self._sockets: dict[int, EchoSocket] = {}
        self._packets: dict[tuple[int, int], Packet] = {}  # by family and sequence number, oldest first
        self._sequence = int.from_bytes(os.urandom(2), "big")
        self._refused = False
        _, self._lead = self._read_clocks()
        self.ignored = {"duplicate": 0, "foreign": 0, "late": 0}
        """Answers that count for nothing, by why."""

    @property
    def mode(self) -> Mode:
        """The kind of socket that works; none until one could be opened."""
        return next((opened.mode for opened in self._sockets.values()), Mode.NONE)

    def open(self, family: int) -> Reason | None:
        """Make sure that there is a socket for this family; return why there is none."""
        if family in self._sockets:
            return None
        try:
            self._sockets[family] = self._open(family, self._payload_bytes)
        except OSError as err:
            if isinstance(err, PermissionError) and not self._refused:
                self._refused = True
                log.warning(
                    "nothing can be pinged",
                    fix="let net.ipv4.ping_group_range have this process' group, or give it CAP_NET_RAW",
                )
            return reason_of(err)
        log.info("ping socket open", mode=self._sockets[family].mode)
        return None

    def send(self, to: Address) -> Packet:
        """Send a packet; where this machine cannot, its `reason` says why."""
        self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        cookie = os.urandom(COOKIE_BYTES)
        packet = Packet(cookie, to.host, self.open(to.family))
        if packet.reason is not None:
            return packet
        opened = self._sockets[to.family]
        data = opened.request(sequence, cookie)
        key = (to.family, sequence)
        self._packets.pop(key, None)  # 65536 packets ago: goes to the end of the order
        self._packets[key] = packet
        packet.depart(self._clocks.monotonic(), self._lead)
        try:
            opened.send(data, to.sockaddr)
        except OSError as err:
            packet.reason = reason_of(err)
        return packet

    def read(self) -> None:
        """Take what has come: answers and errors go to their packets. To be called before sending. Does not block."""
        for family, opened in self._sockets.items():
            for answer in opened.answers():
                self._take(family, answer)
            for trouble in opened.troubles():
                packet = self._packets.get((family, trouble.sequence))
                if packet is not None and packet.went_to(trouble.destination):
                    packet.reason = trouble.reason
        self._forget()
        _, self._lead = self._read_clocks()

    def _read_clocks(self) -> tuple[int, int]:
        """Return the monotonic clock, and the wall clock's lead over it."""
        monotonic, wall = self._clocks
        for _ in range(_READINGS):
            before, between, behind = monotonic(), wall(), monotonic()
            if behind - before < _READING_NS:
                break
        return behind, between - (before + behind) // 2

    def _take(self, family: int, answer: Answer) -> None:
        packet = self._packets.get((family, answer.sequence))
        if packet is None or not packet.is_answered_by(answer):
            self.ignored["foreign"] += 1
        elif packet.answered or packet.late or packet.unclear:
            self.ignored["duplicate"] += 1
        else:
            self._time(packet, answer)

    def _time(self, packet: Packet, answer: Answer) -> None:
        whole, round_trip = packet.time_trip(answer.stamp, *self._read_clocks())
        if packet.closed or (round_trip or 0) > self._timeout:
            packet.late = True
            self.ignored["late"] += 1
        elif round_trip is not None or whole <= self._timeout:
            packet.answered, packet.round_trip = True, round_trip
        else:
            packet.unclear = True

    def _forget(self) -> None:
        now, keep = self._clocks.monotonic(), self._timeout + _REMEMBERED_NS
        old = []
        for key, packet in self._packets.items():
            if not (packet.closed and packet.is_older_than(keep, now)):
                break
            old.append(key)
        for key in old:
            del self._packets[key]

    def close(self) -> None:
        """Close the sockets."""
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()
