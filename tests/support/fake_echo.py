"""Stands in for the socket of ICMP echo: hosts with a delay each, on clocks that the test sets."""

import os
import socket
from collections.abc import Iterator

from exporter.probes.attempt import Reason
from exporter.probes.icmp import Answer, Mode, Trouble
from exporter.probes.resolver import Address, SocketAddress
from exporter.probes.wire import Clocks, Wire

SECOND = 1_000_000_000


def host(name: str = "192.0.2.1") -> Address:
    """Return an address as the resolver gives it."""
    return Address(socket.AF_INET, name, (name, 0))


class Time:
    """Both clocks, in nanoseconds; the wall clock may be stepped."""

    def __init__(self) -> None:
        self.monotonic = 5 * SECOND
        self.offset = 1_700_000_000 * SECOND

    @property
    def wall(self) -> int:
        return self.monotonic + self.offset

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.monotonic, lambda: self.wall)


class FakeEcho:
    """A socket and the network behind it: what was sent, and what is there to be read."""

    def __init__(self, time: Time, mode: Mode = Mode.DATAGRAM) -> None:
        self.mode = mode
        self.sent: list[tuple[int, str]] = []
        self.delays: dict[str, float | None] = {}
        """Seconds to each host's answer; None: it does not answer. A host not named here answers at once."""
        self.refusals: dict[str, int] = {}
        """What the kernel says, as an errno, to a packet to a host."""
        self.queue: list[Answer] = []
        self.errors: list[Trouble] = []
        self.is_closed = False
        self.has_stamps = True
        self._time = time

    def request(self, sequence: int, cookie: bytes) -> bytes:
        return sequence.to_bytes(2, "big") + cookie

    def send(self, packet: bytes, to: SocketAddress) -> None:
        name = to[0]
        if number := self.refusals.get(name):
            raise OSError(number, os.strerror(number))
        sequence = int.from_bytes(packet[:2], "big")
        self.sent.append((sequence, name))
        delay = self.delays.get(name, 0.0)
        if delay is not None:
            stamp = self._time.wall + round(delay * SECOND)
            self.queue.append(Answer(sequence, packet[2:], name, stamp))

    def answers(self) -> Iterator[Answer]:
        due = [answer for answer in self.queue if answer.stamp is not None and answer.stamp <= self._time.wall]
        for answer in due:
            self.queue.remove(answer)
            yield answer if self.has_stamps else answer._replace(stamp=None)

    def troubles(self) -> list[Trouble]:
        out, self.errors = self.errors, []
        return out

    def tell(self, reason: Reason, sequence: int = -1) -> None:
        """Let an error come about a packet, the last one sent if none is named."""
        last, to = self.sent[sequence]
        self.errors.append(Trouble(last, to, reason))

    def close(self) -> None:
        self.is_closed = True


def wire_to(echo: FakeEcho, time: Time, timeout: float = 2.0) -> Wire:
    """Return a wire whose sockets are all that one."""
    return Wire(56, timeout, time.clocks(), lambda family, size: echo)  # type: ignore[arg-type, return-value]
