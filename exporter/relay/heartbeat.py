"""A call to an address outside while all is well: whoever runs it tells when the calls stay away.

Something outside of this machine has to watch the relay. The call says that the Watchdog comes and that Slack takes
what it is sent; the address is a secret, since whoever knows it can call in the relay's place.
"""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from exporter.logs import Log
from exporter.relay.credentials import Source
from exporter.relay.outcomes import State
from exporter.relay.senders import Senders
from exporter.relay.settings import WatchdogSettings
from exporter.relay.slack import Slack, SlackError
from exporter.relay.token import TokenError, read_token
from exporter.relay.watchdog import Watchdog

_log = Log("exporter.relay.heartbeat")

CALL_SECONDS: Final = 10.0
# so long Slack's last good answer counts; after it auth.test asks for another
SLACK_SECONDS: Final = 300.0
MAX_ANSWER: Final = 65536


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry a secret path to somebody else."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 -- urllib's, not used
        """Follow none: the answer becomes an error."""


class Heartbeat:
    """Lives on the event loop; its calls block threads of their own."""

    def __init__(
        self,
        settings: WatchdogSettings,
        watchdog: Watchdog,
        delivery: State,
        source: Source | None,
        slack: Slack,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = Path(settings.heartbeat_url_file) if settings.heartbeat_url_file else None
        self._interval = float(settings.heartbeat_interval)
        self._watchdog, self._delivery, self._source, self._slack = watchdog, delivery, source, slack
        self._clock, self._monotonic = clock, monotonic
        self._senders = Senders(1, "heartbeat")
        self._asked: float | None = None
        self.sent = 0
        self.failures = 0
        self.last_success: float | None = None
        """When the address answered last, in seconds since 1970."""
        self.withheld = ""
        """Why there was no call at the last turn; empty after one."""

    @property
    def is_set(self) -> bool:
        """Whether there is an address to call."""
        return self._file is not None

    async def run(self) -> None:
        """Call at each interval until cancelled."""
        while self._file is not None:
            await self.turn()
            await asyncio.sleep(self._interval)

    async def turn(self) -> None:
        """Call, if all is well."""
        before, self.withheld = self.withheld, await self._trouble()
        if self.withheld:
            if self.withheld != before:
                _log.warning("heartbeat withheld", reason=self.withheld)
            return
        failure = await self._on_thread(self._call)
        if failure:
            self.failures += 1
            _log.warning("heartbeat failed", error=failure)
            return
        self.sent += 1
        self.last_success = self._clock()

    async def _trouble(self) -> str:
        """Return why nobody outside shall hear that all is well; empty when it is."""
        if not self._watchdog.is_fresh:
            return "no Watchdog comes"
        if self._source is None:
            return "there is no Slack token: messages are only previewed"
        since = self._delivery.failing_since
        if since is not None and self._clock() - since > SLACK_SECONDS:
            return f"Slack does not take messages: {self._delivery.last_error}"
        return "" if self._heard_lately() else await self._on_thread(self._ask)

    def _heard_lately(self) -> bool:
        last = self._delivery.last_success
        if last is not None and 0 <= self._clock() - last < SLACK_SECONDS:
            return True
        return self._asked is not None and self._monotonic() - self._asked < SLACK_SECONDS

    def _ask(self) -> str:
        """Ask Slack whether it takes the token. Blocks."""
        credentials = self._source.current() if self._source else None
        if credentials is None:
            return "there is no Slack token yet"
        try:
            self._slack.auth_test(credentials.token)
        except SlackError as err:
            return f"Slack does not answer well: {err.code}"
        self._asked = self._monotonic()
        return ""

    def _call(self) -> str:
        """Call the address; return what went wrong, without the address. Blocks; proxies are taken as usual."""
        try:
            url = read_token(self._file or Path(), "watchdog.heartbeat_url_file").reveal()
        except TokenError as err:
            return str(err)
        if not url.startswith(("https://", "http://")):
            return "watchdog.heartbeat_url_file: expected an address that begins with https://"
        opener = urllib.request.build_opener(_NoRedirects())
        opener.addheaders = [("User-Agent", "hostwatch")]
        try:
            with opener.open(url, timeout=CALL_SECONDS) as answer:
                answer.read(MAX_ANSWER)
        except urllib.error.HTTPError as err:
            err.close()
            return f"HTTP status {err.code}"
        except Exception as err:  # noqa: BLE001 -- urllib raises many kinds, some with the address in their text
            reason = getattr(err, "reason", err)
            return getattr(reason, "strerror", None) or type(reason).__name__
        return ""

    async def _on_thread(self, call: Callable[[], str]) -> str:
        """Return what a call says went wrong; one that takes too long went wrong, too."""
        if not self._senders.idle:
            return "the call before has not ended"
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def done(result: str | Exception) -> None:
            if not future.done():
                future.set_result(result if isinstance(result, str) else type(result).__name__)

        self._senders.submit(call, done)
        try:
            return await asyncio.wait_for(future, 2 * CALL_SECONDS)
        except TimeoutError:
            return "no answer in time"

    def stop(self) -> None:
        """Let the thread end once it is back; does not wait."""
        self._senders.stop()
