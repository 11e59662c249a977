"""What becomes of the packets of a round, and what is counted of each target."""

import socket
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from exporter.logs import Log
from exporter.probes.attempt import Outcome, Reason
from exporter.probes.resolver import Address
from exporter.probes.wire import Packet
from exporter.settings.probes import PingTarget

log = Log(__name__)

EDGES: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper edges of the histogram's buckets, in seconds."""

# how long an address is used on while no name server answers
_KEPT_SECONDS: Final = 600.0


class Round(NamedTuple):
    """What came of the packets to one target in one round; those whose fate nobody knows do not count."""

    sent: int
    received: int
    round_trips: tuple[float, ...]
    """Seconds, in the order of sending; of those received that could be timed."""
    reason: Reason | None
    """Why there is no answer at all; None where there is one."""

    @property
    def latency(self) -> float | None:
        """The median of the round trips; None without any."""
        trips = sorted(self.round_trips)
        middle = len(trips) // 2
        if not trips:
            return None
        return trips[middle] if len(trips) % 2 else (trips[middle - 1] + trips[middle]) / 2

    @property
    def jitter(self) -> float | None:
        """The mean difference between one round trip and the next; None with fewer than two."""
        steps = [abs(after - before) for before, after in pairwise(self.round_trips)]
        return sum(steps) / len(steps) if steps else None

    @property
    def loss(self) -> float | None:
        """The share of packets that were not answered in time; None where none could be sent."""
        return 1 - self.received / self.sent if self.sent else None


def judge(packets: Sequence[Packet], *, stalled: bool) -> Round | None:
    """Return the result of a round; None where nothing is known, as after a stop that may have cost all answers."""
    received = sum(packet.answered for packet in packets)
    trips = tuple(packet.round_trip / 1e9 for packet in packets if packet.round_trip is not None)
    silent = [packet for packet in packets if not packet.answered]
    lost = [packet for packet in silent if _is_lost(packet, stalled=stalled)]
    barred = [packet.reason for packet in silent if packet.reason and packet.reason.outcome is Outcome.NOT_ASKED]
    if received:
        return Round(received + len(lost), received, trips, None)
    if lost:
        return Round(len(lost), 0, (), lost[-1].reason or Reason.TIMEOUT)
    return Round(0, 0, (), barred[-1]) if barred else None


def _is_lost(packet: Packet, *, stalled: bool) -> bool:
    if packet.reason is not None:
        return packet.reason.outcome is Outcome.FAILED
    return packet.late or not (stalled or packet.unclear)


class Target:
    """One host: where it is, and what has been counted of it."""

    def __init__(self, settings: PingTarget) -> None:
        self.name = settings.name
        self.host = settings.address
        self.family = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}[settings.family]
        self.address: Address | None = None
        self.trouble: Reason | None = None
        """Why there is no address."""
        self.packets: list[Packet] = []
        self.sent = 0
        self.received = 0
        self.buckets = [0] * len(EDGES)
        """Answers by bucket, not cumulated; those over the last edge are in none."""
        self.timed = 0
        """Answers in the histogram: all that could be timed."""
        self.seconds = 0.0
        self.last: Round | None = None
        self.last_attempt: float | None = None
        """When the last round ended, seconds since the epoch."""
        self.version = 0
        self._resolved_at = 0.0
        self._is_literal = _is_address(self.host)

    @property
    def needs_address(self) -> bool:
        """Whether to look it up: a name always, for it may have moved."""
        return not self._is_literal or self.address is None

    def settle(self, found: Sequence[Address], now: float) -> None:
        """Take one of the addresses: the one it has for as long as that is among them."""
        self.trouble = None
        self._resolved_at = now
        if self.address not in found:
            self.address = found[0]

    def unsettle(self, reason: Reason, now: float) -> None:
        """Take note that there is no address; where nobody could tell, the old one stays for ten minutes."""
        if self.address is None or reason.outcome is Outcome.FAILED or now - self._resolved_at > _KEPT_SECONDS:
            self.address, self.trouble = None, reason

    def close_round(self, wall: float, *, stalled: bool) -> None:
        """Count what came of the packets."""
        for packet in self.packets:
            packet.closed = True
        result = judge(self.packets, stalled=stalled)
        if not self.packets and self.address is None and self.trouble is not None:
            result = Round(0, 0, (), self.trouble)
        self.packets = []
        if result is None:
            return
        self._tell(result)
        self.last, self.last_attempt = result, wall
        self.version += 1
        self.sent += result.sent
        self.received += result.received
        self.timed += len(result.round_trips)
        for seconds in result.round_trips:
            self.seconds += seconds
            place = next((place for place, edge in enumerate(EDGES) if seconds <= edge), None)
            if place is not None:
                self.buckets[place] += 1

    def _tell(self, result: Round) -> None:
        before = self.last.reason if self.last is not None else None
        if result.reason is not None and result.reason is not before:
            event = "ping not answered" if result.reason.outcome is Outcome.FAILED else "ping not possible"
            log.warning(event, target=self.name, address=self.host, reason=result.reason.value)
        elif result.reason is None and before is not None:
            log.info("ping answered again", target=self.name, address=self.host)


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False
