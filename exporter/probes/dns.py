"""DNS checks: what a name server answers, and how fast."""

import os
import struct
from typing import ClassVar

from exporter.probes.attempt import Attempt, AttemptError, Reason
from exporter.probes.check import Schedule
from exporter.probes.dns_message import TYPES, Question, Reply, decode, encode
from exporter.probes.resolver import Address
from exporter.probes.stopwatch import Stopwatch, measure
from exporter.probes.streams import Stream, connect, connect_datagram, first_of, look_up
from exporter.settings.checks import DNS_PORT, DnsSettings
from exporter.settings.targets import host_and_port

MAX_SHOWN = 5


class DnsCheck:
    """Asks a name server for the records of a name."""

    kind: ClassVar[str] = "dns"

    def __init__(self, settings: DnsSettings) -> None:
        self.name = settings.name
        self.target = f"{settings.question} {settings.type} at {settings.server}"
        self.schedule = Schedule(settings.interval, settings.timeout, settings.retries, settings.retry_delay)
        self._settings = settings
        self._host, self._port = host_and_port(settings.server, DNS_PORT)

    async def attempt(self, deadline: float) -> Attempt:
        """Ask once; over TCP too where the answer over UDP was cut."""

        async def work(watch: Stopwatch) -> None:
            settings = self._settings
            identifier = int.from_bytes(os.urandom(2), "big")
            question = Question(identifier, settings.question, TYPES[settings.type], settings.recursion)
            reply = None
            if settings.transport == "udp":
                reply = await self._ask_datagram(question, watch, deadline)
            if reply is None or reply.is_truncated:
                reply = await self._ask_stream(question, watch, deadline)
            watch.stop()
            judge(reply, settings)

        return await measure(work, deadline)

    async def _ask_datagram(self, question: Question, watch: Stopwatch, deadline: float) -> Reply:
        async def attempt(address: Address) -> Reply:
            stream = await connect_datagram(address)
            try:
                await stream.send(encode(question))
                while (reply := _decoded(await stream.receive(), question)) is None:
                    pass  # somebody else's, or an answer to an older question: the deadline ends this
                return reply
            finally:
                stream.close()

        addresses = await look_up(self._host, self._port, self._settings.family, watch, deadline)
        watch.enter("answer")
        return await first_of(addresses, attempt, deadline)

    async def _ask_stream(self, question: Question, watch: Stopwatch, deadline: float) -> Reply:
        stream = await connect(self._host, self._port, self._settings.family, watch, deadline)
        watch.enter("answer")
        try:
            message = encode(question)
            await stream.send(struct.pack("!H", len(message)) + message)
            reply = _decoded(await _read_message(stream), question)
        finally:
            stream.close()
        if reply is None:
            raise AttemptError(Reason.BAD_ANSWER, "the answer is one to another question")
        return reply


async def _read_message(stream: Stream) -> bytes:
    """Return a message that has its length before it (RFC 1035 4.2.2), of at most 64 KiB."""
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        more = await stream.receive()
        if not more:
            raise AttemptError(Reason.BAD_ANSWER, f"the connection was closed after {len(data)} bytes of the answer")
        data += more
    return data[2 : 2 + int.from_bytes(data[:2], "big")]


def _decoded(data: bytes, question: Question) -> Reply | None:
    try:
        return decode(data, question)
    except ValueError as err:
        raise AttemptError(Reason.BAD_ANSWER, f"not a DNS message: {err}") from err


def judge(reply: Reply, settings: DnsSettings) -> None:
    """Return for a good reply. Raises AttemptError with the first thing that is wrong with it."""
    if reply.code not in settings.response_codes:
        reason = Reason.NO_SUCH_NAME if reply.code == "NXDOMAIN" else Reason.WRONG_ANSWER
        raise AttemptError(reason, f"expected {' or '.join(settings.response_codes)}, got {reply.code}")
    got = ", ".join(map(repr, reply.records[:MAX_SHOWN])) or "none"
    if len(reply.records) < settings.least:
        raise AttemptError(Reason.WRONG_ANSWER, f"expected {settings.least} {settings.type} records or more, got {got}")
    for expression in settings.answers:
        if not any(expression.pattern.search(record) for record in reply.records):
            raise AttemptError(Reason.WRONG_ANSWER, f"expected {expression!r} among the records, got {got}")
    for expression in settings.forbidden_answers:
        if any(expression.pattern.search(record) for record in reply.records):
            raise AttemptError(Reason.WRONG_ANSWER, f"expected no {expression!r} among the records, got {got}")
