"""What fires at Prometheus, asked for on a thread and only while somebody looks."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from exporter.logs import Log
from exporter.settings.exporter import Dashboard
from exporter.web.answers.fields import Text, text

if TYPE_CHECKING:
    from exporter.clients.prometheus import Alert as PrometheusAlert

log = Log(__name__)

TIMEOUT: Final = 5.0
EVERY: Final = 15.0
"""Seconds from one question to the next: Prometheus' rules are not evaluated more often as a rule."""
MAX_ALERTS: Final = 100
MAX_TEXT: Final = 400


class Alert(msgspec.Struct, frozen=True):
    """An alert that is pending or firing."""

    name: str
    state: str
    since: str
    labels: Mapping[str, str]
    summary: Text = UNSET
    runbook_url: Text = UNSET


class Alerts(msgspec.Struct, frozen=True):
    """What Prometheus says, or why it says nothing."""

    alerts: list[Alert] = []
    total: int = 0
    error: Text = UNSET


class AlertSource:
    """Asks Prometheus; lives on the event loop but for the thread that waits for the answer."""

    def __init__(
        self,
        settings: Dashboard,
        fetch: Callable[[Dashboard], Alerts] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._fetch = fetch_alerts if fetch is None else fetch
        self._clock = clock
        self._asked: float | None = None
        self._under_way = False
        self.last: Alerts | None = None
        """The last answer; None where nobody is asked, and before the first."""

    def refresh(self) -> None:
        """Ask again where the last question is old enough and answered; returns at once."""
        now = self._clock()
        if not self._settings.prometheus_url or self._under_way:
            return
        if self._asked is not None and now - self._asked < EVERY:
            return
        self._asked, self._under_way = now, True
        loop = asyncio.get_running_loop()
        # not an executor: its threads are joined at the end, and this one may hang in a look-up of a name
        threading.Thread(target=self._ask, args=(loop,), daemon=True, name="alerts").start()

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            found = self._fetch(self._settings)
        except Exception as err:  # noqa: BLE001 -- the thread's boundary: the next question tries again
            log.error("request for alerts failed", exc=err)
            found = Alerts(error="our fault, see the log")
        try:
            loop.call_soon_threadsafe(self._take, found)
        except RuntimeError:  # the loop is closed: the process is ending
            return

    def _take(self, found: Alerts) -> None:
        self._under_way = False
        self.last = found


def fetch_alerts(settings: Dashboard) -> Alerts:
    """Return what fires, and what is pending behind it, the worst first. Blocks for TIMEOUT; raises nothing usual."""
    from exporter.clients import prometheus  # noqa: PLC0415 -- OpenSSL costs 4 MB: for those alone who set an address
    from exporter.clients.http_get import Access, GetError  # noqa: PLC0415 -- see above

    try:
        found = prometheus.fetch_alerts(settings.prometheus_url, time.monotonic() + TIMEOUT, Access())
    except GetError as err:
        return Alerts(error=f"{settings.prometheus_url}: {err}; see dashboard.prometheus_url in the settings")
    wanted = [one for one in found if not settings.instance or one.labels.get("instance") == settings.instance]
    # what always fires says that the pipeline works, and is no trouble
    wanted = [one for one in wanted if one.state in {"firing", "pending"} and one.labels.get("severity") != "none"]
    wanted.sort(key=lambda one: (one.state != "firing", _RANK.get(one.labels.get("severity", ""), 2), one.active_at))
    return Alerts([_alert(one) for one in wanted[:MAX_ALERTS]], len(wanted))


_RANK: Final = {"critical": 0, "warning": 1}


def _alert(one: "PrometheusAlert") -> Alert:
    labels = {key[:MAX_TEXT]: value[:MAX_TEXT] for key, value in sorted(one.labels.items())[:30]}
    return Alert(
        labels.pop("alertname", ""),
        one.state,
        one.active_at,
        labels,
        text(one.annotations.get("summary", "")[:MAX_TEXT]),
        text(one.annotations.get("runbook_url", "")[:MAX_TEXT]),
    )
