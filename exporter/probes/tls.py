"""TLS checks: whether a server's certificate is good, and until when."""

from typing import ClassVar

from exporter.probes.attempt import Attempt
from exporter.probes.check import Schedule
from exporter.probes.stopwatch import Stopwatch, measure
from exporter.probes.streams import connect, handshake
from exporter.settings.checks import TlsSettings
from exporter.settings.targets import host_and_port


class TlsCheck:
    """Does a handshake, and says nothing."""

    kind: ClassVar[str] = "tls"

    def __init__(self, settings: TlsSettings) -> None:
        self.name = settings.name
        self.target = settings.address
        self.schedule = Schedule(settings.interval, settings.timeout, settings.retries, settings.retry_delay)
        self._settings = settings
        self._host, self._port = host_and_port(settings.address)

    async def attempt(self, deadline: float) -> Attempt:
        """Look at the certificate once."""

        async def work(watch: Stopwatch) -> None:
            stream = await connect(self._host, self._port, self._settings.family, watch, deadline)
            try:
                await handshake(stream, self._settings.tls, self._host, watch)
            finally:
                stream.close()

        return await measure(work, deadline)
