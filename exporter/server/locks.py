"""What stands before the handlers when there is a web configuration file: TLS, passwords, headers.

The file and those it names are looked at when a handshake begins or a request comes, at most once a second; what is
good takes effect at once, what is not changes nothing and is told.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporter.logs import Log
from exporter.server.auth import Guard, Memory
from exporter.server.http import Handler, Reply, Request
from exporter.server.limiter import Limiter
from exporter.server.web_config import ConfigFile, WebConfig
from exporter.settings import SettingsError

if TYPE_CHECKING:
    import ssl

log = Log(__name__)

LOOK_SECONDS: Final = 1.0


class Locks:
    """The web configuration in force. Raises SettingsError when made from a file that cannot be used."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = ConfigFile(path)
        self._clock = clock
        self._looked = clock()
        self._memory = Memory()
        self.good = True
        self.read_at = time.time()
        self.context = self._build(self._file.config)

    def _build(self, config: WebConfig) -> "ssl.SSLContext | None":
        if config.tls_server_config is None:
            return None
        from exporter.server import tls  # noqa: PLC0415 -- OpenSSL costs 4 MB: only where TLS is asked for

        return tls.build(config.tls_server_config, self._file)

    def newest_context(self) -> "ssl.SSLContext":
        """Return the TLS context for a handshake that begins now."""
        self.look()
        assert self.context is not None  # noqa: S101 -- TLS comes and goes with a restart only
        return self.context

    def look(self) -> None:
        """Take over what changed in the files, if it is good."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._file.changed():
            try:
                self._take(self._file.read_again())
            except SettingsError as err:
                self.good = False
                log.error("web configuration not usable, the last good one stays", problems=list(err.problems))

    def _take(self, config: WebConfig) -> None:
        if opened := _opened(self._file.config, config):
            raise SettingsError(f"{self._file.path}: {opened}")
        self.context = self._build(config)
        self._file.take(config)
        self.good, self.read_at = True, time.time()
        log.info("web configuration read again", file=str(self._file.path))

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        """Whether a connection may speak: its certificate has one of the names that are allowed, if any are listed."""
        config = self._file.config.tls_server_config
        if config is None or not config.client_allowed_sans:
            return True
        from exporter.server.tls import has_allowed_san  # noqa: PLC0415 -- see above

        return has_allowed_san(transport.get_extra_info("peercert"), config.client_allowed_sans)

    def before(self, handler: Handler) -> Handler:
        """Return a handler that asks for what the configuration in force wants, and then calls `handler`."""
        version = -1
        current: Handler = handler

        def locked(request: Request, reply: Reply) -> None:
            nonlocal version, current
            self.look()
            if self._file.version != version:
                version = self._file.version
                current = self._guarded(handler)
            current(request, reply)

        return locked

    def _guarded(self, handler: Handler) -> Handler:
        config = self._file.config
        guarded: Handler = handler
        if config.basic_auth_users:
            guarded = Guard(handler, config.basic_auth_users, self._memory)
        if config.rate_limit.seconds:
            guarded = Limiter(guarded, config.rate_limit.seconds, config.rate_limit.burst)
        lines = config.http_server_config.lines
        if not lines:
            return guarded

        def with_headers(request: Request, reply: Reply) -> None:
            guarded(request, lambda response: reply(response._replace(headers=response.headers + lines)))

        return with_headers


def _opened(old: WebConfig, new: WebConfig) -> str:
    """Return which lock `new` lacks that `old` has: a file that is just being written may be empty, or end early."""
    before, after = old.tls_server_config, new.tls_server_config
    if (before is None) != (after is None):
        return "tls_server_config: adding or removing TLS needs a restart"
    if before is not None and after is not None and before.verifies and not after.verifies:
        return "tls_server_config.client_auth_type: to verify clients no longer needs a restart"
    if old.basic_auth_users and not new.basic_auth_users:
        return "basic_auth_users: to ask for passwords no longer needs a restart"
    return ""
