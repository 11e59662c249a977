"""Who did it: asks the exporter of the machine in trouble what it knows of the moment, for the message's thread.

Nothing waits for it: it begins when the message is on its way, and what does not come in time does not come. Where an
exporter is, only Prometheus' list of active targets says, never the alert: whoever can send alerts must not be able to
choose whom this relay talks to.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeGuard, cast, get_args
from urllib.parse import quote, urlsplit

import msgspec

from exporter.clients.http_get import Access, GetError, get
from exporter.clients.prometheus import Target, fetch_targets
from exporter.logs import Log
from exporter.relay import outbox
from exporter.relay.access import AccessError, access_of
from exporter.relay.episodes import Episode
from exporter.relay.findings import parse_findings, tell
from exporter.relay.intake import Alert
from exporter.relay.lines import Line
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.senders import Senders
from exporter.relay.settings import AccessSettings, EvidenceKind, EvidenceSettings
from exporter.relay.storage import StoreFullError, Telling, Told, Work

_log = Log("exporter.relay.evidence")

MAX_BYTES: Final = 256 * 1024
PATH: Final = "/api/v1/evidence"
# the exporter keeps one hour
MAX_AGE_SECONDS: Final = 3600.0
# the list of targets is asked for again after so long
TARGETS_SECONDS: Final = 60.0
# and for a machine that is not in it after so long: it may be a new one
NO_TARGET_SECONDS: Final = 5.0
# of a group with many alerts the first few are asked about
MAX_ALERTS: Final = 3
# questions under way or waiting; beyond it messages go without
MAX_QUESTIONS: Final = 32

Reason = Literal[
    "prometheus", "no_target", "exporter", "no_sample", "bad_answer", "settings", "busy", "timeout", "store"
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


class NoEvidenceError(Exception):
    """There is none; `reason` is one of REASONS."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason: Reason = reason


class Question(msgspec.Struct, frozen=True):
    """What is asked about one alert, and where the answer goes."""

    kind: EvidenceKind
    alert: Alert
    group_id: int
    number: int
    received: float


class Evidence:
    """Lives on the event loop; its requests block threads of their own."""

    def __init__(
        self,
        settings: EvidenceSettings,
        queue: DurableQueue,
        *,
        live: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._queue, self._live, self._clock = settings, queue, live, clock
        self.on_line: Callable[[], None] = lambda: None
        """Called when there is a new line."""
        self._witness = Witness(settings)
        self._senders = Senders(2, "evidence")
        self._tasks: set[asyncio.Task[None]] = set()
        self.fetches = 0
        self.failures: dict[Reason, int] = dict.fromkeys(REASONS, 0)

    @property
    def is_on(self) -> bool:
        """Whether there is a Prometheus to ask."""
        return bool(self._settings.prometheus_url)

    def __call__(self, work: Work, told: Told) -> None:
        """Ask about what has begun to fire; returns at once."""
        if not self.is_on:
            return
        for telling in told.tellings:
            for question in questions(work, telling, self._settings):
                if self._clock() - question.alert.began / 1e9 < MAX_AGE_SECONDS:
                    self._ask(question)

    def _ask(self, question: Question) -> None:
        self.fetches += 1
        if len(self._tasks) >= MAX_QUESTIONS:
            self._fail(question, NoEvidenceError("busy", f"{MAX_QUESTIONS} questions wait already"))
            return
        task = asyncio.create_task(self._answer(question), name="evidence")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, question: Question) -> None:
        try:
            text = await self._fetch(question)
            await self._keep(question, text)
        except NoEvidenceError as err:
            self._fail(question, err)
        except (StoreError, StoreFullError) as err:
            self._fail(question, NoEvidenceError("store", str(err)))
        except Exception as err:  # noqa: BLE001 -- the task's boundary: the message has gone without it
            _log.error("evidence failed by our fault", exc=err)

    def _fail(self, question: Question, err: NoEvidenceError) -> None:
        self.failures[err.reason] += 1
        _log.warning("no evidence", alert=question.alert.name, reason=err.reason, error=str(err))

    async def _fetch(self, question: Question) -> str:
        """Return the evidence as text. Raises NoEvidenceError."""
        given_up = False

        def call() -> str:
            if given_up:
                raise NoEvidenceError("timeout", "its turn came too late")
            return self._witness.ask(question)

        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def done(result: str | Exception) -> None:
            if future.done():
                return
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        self._senders.submit(call, done)
        try:
            # two requests, and others before them; a look-up of a name may hang for longer than its request may
            return await asyncio.wait_for(future, 5 * self._settings.timeout)
        except TimeoutError as err:
            given_up = True
            raise NoEvidenceError("timeout", "no answer in time") from err

    async def _keep(self, question: Question, text: str) -> None:
        line = Line("note", text)
        # received: as late as its alert, so that no lateness is told which is ours
        group, number, received = question.group_id, question.number, question.received

        def keep(db: sqlite3.Connection) -> None:
            outbox.add_note(db, group, number, line, received, live=self._live)

        await asyncio.wrap_future(self._queue.run(keep))
        self.on_line()

    def stop(self) -> None:
        """End what is under way; does not wait."""
        for task in self._tasks:
            task.cancel()
        self._senders.stop()


def questions(work: Work, telling: Telling, settings: EvidenceSettings) -> Iterator[Question]:
    """Yield what to ask about an episode's alerts that have begun to fire: once for each machine and kind."""
    before, after = work.group.episode, telling.episode
    known = {(alert.identity, alert.starts_at) for alert in before.alerts} if _same(before, after) else set()
    asked: set[tuple[str, str]] = set()
    for alert in after.firing:
        kind, instance = kind_of(alert, settings), alert.labels.get("instance", "")
        if kind == "none" or not instance or (kind, instance) in asked or (alert.identity, alert.starts_at) in known:
            continue
        if len(asked) == MAX_ALERTS:
            return
        asked.add((kind, instance))
        yield Question(kind=kind, alert=alert, group_id=work.group_id, number=after.number, received=telling.received)


def _same(before: Episode | None, after: Episode) -> TypeGuard[Episode]:
    return before is not None and before.number == after.number


def kind_of(alert: Alert, settings: EvidenceSettings) -> EvidenceKind:
    """Return which evidence an alert gets: its annotation `evidence` says so, else its name."""
    wanted = alert.annotations.get("evidence", "")
    if wanted in get_args(EvidenceKind):
        return cast("EvidenceKind", wanted)
    return next((kind for name, kind in settings.alerts.items() if fnmatchcase(alert.name, name)), "none")


class Witness:
    """Asks Prometheus where an exporter is, and the exporter. Blocks; safe for several threads."""

    def __init__(self, settings: EvidenceSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._monotonic = settings, monotonic
        self._targets: tuple[float, tuple[Target, ...]] = (float("-inf"), ())
        self._asking = threading.Lock()

    def ask(self, question: Question) -> str:
        """Return the evidence for one alert as text. Raises NoEvidenceError."""
        base = self._base(question.alert.labels.get("instance", ""))
        at = quote(question.alert.starts_at, safe="")
        try:
            answer = get(f"{base}?at={at}", self._deadline(), MAX_BYTES, _access(self._settings.exporter, "exporter"))
        except GetError as err:
            raise NoEvidenceError("exporter", f"{base}: {err}") from err
        if answer.status != 200:
            raise NoEvidenceError("no_sample" if answer.status == 404 else "exporter", f"HTTP status {answer.status}")
        try:
            text = tell(question.kind, question.alert, parse_findings(answer.body))
        except ValueError as err:
            raise NoEvidenceError("bad_answer", f"{base}: {err}") from err
        if text is None:
            raise NoEvidenceError("no_sample", "the exporter knows nothing of this kind")
        return text

    def _base(self, instance: str) -> str:
        """Return the address of an instance's evidence; of several threads one asks Prometheus, for all."""
        with self._asking:
            asked, targets = self._targets
            found = _find(targets, self._settings.job, instance)
            age = self._monotonic() - asked
            if age >= (NO_TARGET_SECONDS if found is None else TARGETS_SECONDS):
                found = _find(self._fetch_targets(), self._settings.job, instance)
        if found is None:
            raise NoEvidenceError("no_target", f"Prometheus scrapes no {self._settings.job} of that instance")
        return evidence_url(found)

    def _fetch_targets(self) -> tuple[Target, ...]:
        try:
            access = _access(self._settings.prometheus, "prometheus")
            targets = fetch_targets(self._settings.prometheus_url, self._deadline(), access)
        except GetError as err:
            raise NoEvidenceError("prometheus", f"{self._settings.prometheus_url}: {err}") from err
        self._targets = self._monotonic(), targets
        return targets

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.timeout


def _find(targets: tuple[Target, ...], job: str, instance: str) -> Target | None:
    """Return the target of a job and instance, one that is up before others."""
    mine = [one for one in targets if one.labels.get("job") == job and one.labels.get("instance") == instance]
    return min(mine, key=lambda one: one.health != "up", default=None)


def evidence_url(target: Target) -> str:
    """Return where a target's evidence is: beside its metrics, behind the same proxy. Raises NoEvidenceError."""
    parts = urlsplit(target.scrape_url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
        raise NoEvidenceError("no_target", f"expected a target of http or https: {target.scrape_url[:200]}")
    before, metrics, _ = parts.path.rpartition("/metrics")
    return f"{parts.scheme}://{parts.netloc}{before if metrics else ''}{PATH}"


def _access(settings: AccessSettings, name: str) -> Access:
    try:
        return access_of(settings, f"evidence.{name}")
    except AccessError as err:
        raise NoEvidenceError("settings", str(err)) from err
