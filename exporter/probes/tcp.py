"""TCP checks: a connection, and where it is wanted a conversation of lines, in TLS from the start or from a turn on."""

from typing import ClassVar, Final

from exporter.probes.attempt import Attempt, AttemptError, Reason
from exporter.probes.check import Schedule
from exporter.probes.stopwatch import Stopwatch, measure
from exporter.probes.streams import Stream, connect, handshake
from exporter.settings.checks import TcpSettings
from exporter.settings.targets import TlsOptions, host_and_port
from exporter.settings.values import Regex

MAX_LINE: Final = 65536
MAX_RECEIVED: Final = 1024 * 1024
MAX_QUOTED: Final = 120

_LINE_ENDS: Final = {"crlf": b"\r\n", "lf": b"\n", "none": b""}


class TcpCheck:
    """Connects to a port, and talks."""

    kind: ClassVar[str] = "tcp"

    def __init__(self, settings: TcpSettings) -> None:
        self.name = settings.name
        self.target = settings.address
        self.schedule = Schedule(settings.interval, settings.timeout, settings.retries, settings.retry_delay)
        self._settings = settings
        self._host, self._port = host_and_port(settings.address)
        self._line_end = _LINE_ENDS[settings.line_end]

    async def attempt(self, deadline: float) -> Attempt:
        """Connect once and talk."""

        async def work(watch: Stopwatch) -> None:
            stream = await connect(self._host, self._port, self._settings.family, watch, deadline)
            try:
                if self._settings.tls_first:
                    await self._secure(stream, watch)
                await self._talk(stream, watch)
            finally:
                stream.close()

        return await measure(work, deadline)

    async def _secure(self, stream: Stream, watch: Stopwatch) -> None:
        await handshake(stream, self._settings.tls or TlsOptions(), self._host, watch)

    async def _talk(self, stream: Stream, watch: Stopwatch) -> None:
        lines = Lines(stream)
        for step in self._settings.conversation:
            watch.enter("processing")
            if step.expect is not None:
                await expect(lines, step.expect)
            if step.send is not None:
                await stream.send(step.send.encode() + self._line_end)
            if step.starttls:
                lines.forget()
                await self._secure(stream, watch)


class Lines:
    """What a peer says, line by line."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._data = b""
        self._received = 0

    async def next(self) -> str | None:
        """Return the next line without its end, the rest at the end of the connection, None behind it.

        Raises AttemptError for more than anybody can want to read.
        """
        while b"\n" not in self._data:
            more = await self._stream.receive()
            self._received += len(more)
            if not more:
                rest, self._data = self._data, b""
                return rest.decode("utf-8", "replace") if rest else None
            self._data += more
            if self._received > MAX_RECEIVED or len(self._data.partition(b"\n")[0]) > MAX_LINE:
                raise AttemptError(Reason.TOO_LARGE, f"a line over {MAX_LINE} bytes, or over {MAX_RECEIVED} in all")
        line, _, self._data = self._data.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def forget(self) -> None:
        """Drop what came before TLS: anybody could have put it in (CVE-2011-0411)."""
        self._data = b""


async def expect(lines: Lines, expression: Regex) -> None:
    """Read until a line matches. Raises AttemptError when the peer ends before that."""
    last = None
    while (line := await lines.next()) is not None:
        if expression.pattern.search(line):
            return
        last = line
    got = "nothing" if last is None else f"{last[:MAX_QUOTED]!r} last"
    raise AttemptError(Reason.BAD_REPLY, f"expected {expression!r}, got {got} and the end of the connection")
