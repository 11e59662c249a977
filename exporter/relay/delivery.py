"""The delivery: folds what waits and brings Slack up to date with it, one call at a time for each group.

Nothing leaves the disk before Slack has taken it. What failed is tried again for as long as it takes; only what Slack
refuses for its form, as plain text too, becomes a dead letter. Without a source of tokens, in preview, it only folds.
"""

import asyncio
import contextlib
import sqlite3
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Final

from exporter.logs import Log
from exporter.relay import channels, outbox
from exporter.relay.calls import Caller, Outcome
from exporter.relay.credentials import Credentials, InUse, Source
from exporter.relay.episodes import Episode
from exporter.relay.folding import Fold
from exporter.relay.hold import Hold
from exporter.relay.outbox import Job
from exporter.relay.outcomes import Note, Outcomes, State
from exporter.relay.pace import POST, UPDATE
from exporter.relay.queue import DurableQueue, StoreError
from exporter.relay.senders import Senders
from exporter.relay.settings import SlackSettings
from exporter.relay.slack import ErrorKind, SlackError
from exporter.relay.storage import StoreFullError, Told, Work

_log = Log("exporter.relay.delivery")

# after a failure of the database; a new webhook wakes the worker earlier
RETRY_SECONDS: Final = 1.0
# nobody knows how far the call had come
_OUR_FAULT: Final = SlackError(ErrorKind.PAYLOAD, "our_fault", ambiguous=True)

Tell = Callable[[Work, Told], None]


class Delivery:
    """The worker. Lives on one event loop; `tell` sees what was folded, for the log."""

    def __init__(
        self,
        queue: DurableQueue,
        settings: SlackSettings,
        tell: Tell,
        *,
        source: Source | None = None,
        call: Caller | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._settings, self._tell = queue, settings, tell
        self._source, self._call, self._clock = source, call, clock
        self._fold = Fold(settings.repeat_after, self.route)
        self._hold = Hold(settings, monotonic)
        self.state = State()
        self._outcomes = Outcomes(settings, self._hold, self.state, self.route)
        self._senders = Senders(settings.senders)
        self._in_use = InUse()
        self._wake = asyncio.Event()
        self._ended: deque[tuple[Job, Note]] = deque()
        self._busy: dict[int, Job] = {}
        self._ending = False
        self._noted = asyncio.Event()
        # the credentials that were used last, and whether something may wait whose channel nobody knew before them
        self._version: str | None = None
        self._unrouted = True

    @property
    def live(self) -> bool:
        """Whether there is a source of tokens; without one all is shown and nothing sent."""
        return self._source is not None

    @property
    def pauses(self) -> dict[str, float]:
        """What is left alone now, a method or a channel, with the seconds until it may be called again."""
        return self._hold.pace.pauses()

    def wake(self) -> None:
        """Say that something waits, or that there is a new token. On the loop."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. A failing database is asked again; what cannot be read becomes a dead letter."""
        begun = False
        while True:
            self._wake.clear()
            try:
                begun = begun or await self._begin()
                while await self.step():
                    pass
                await self._pause(self._hold.next_in() if self.live and self._queue.stats.depth else None)
            except (StoreError, StoreFullError):
                await self._pause(RETRY_SECONDS)  # the queue has logged it

    async def _begin(self) -> bool:
        """Take over what an earlier run left: pauses that Slack asked for, and what was only previewed."""
        if not self.live:
            return True

        def begin(db: sqlite3.Connection) -> dict[str, float]:
            outbox.go_live(db)
            return outbox.pauses(db, self._clock())

        for what, seconds in (await asyncio.wrap_future(self._queue.run(begin))).items():
            self._hold.pace.pause(what, seconds)
        return True

    async def step(self) -> bool:
        """Note what came of a call, or fold one group, and begin a call; False if there was nothing of it to do."""
        ended = self._ended[0] if self._ended else None
        work = None if ended else await asyncio.wrap_future(self._queue.take())
        told = self._folded(work) if work else None
        if work and told is None:
            await asyncio.wrap_future(self._queue.give_up(work, "message", "could not be made"))
            return True
        try:
            job = await self._turn(ended[1] if ended else None, work, told, ended[0].group_id if ended else None)
        except StoreError:
            # a disk with no room for what came last: what is folded already goes on
            job = await self._turn(None, None, None, None) if work else None
            if job is None:
                raise
            work = None
        if ended:
            self._ended.popleft()
            self._busy.pop(ended[0].group_id, None)
            self._noted.set()
        if work and told:
            self._show(work, told)
        if job:
            self._send(job)
        return bool(ended or work or job)

    def _folded(self, work: Work) -> Told | None:
        try:
            return self._fold(work)
        except Exception as err:  # noqa: BLE001 -- the boundary: one bad group must not hold up the others
            self.state.failed += 1
            _log.error("message failed, kept as dead letter", group=work.group_id, exc=err)
            return None

    def _show(self, work: Work, told: Told) -> None:
        try:
            self._tell(work, told)
        except Exception as err:  # noqa: BLE001 -- the same boundary: it is on disk, and shown as far as it goes
            self.state.failed += 1
            _log.error("message failed", group=work.group_id, exc=err)

    async def _turn(self, note: Note | None, work: Work | None, told: Told | None, freed: int | None) -> Job | None:
        """Do what one step changes on disk in one commit, the mark of the next call with it."""
        credentials = self._credentials()
        closed = self._hold.closed([group for group in self._busy if group != freed]) if credentials else None
        unrouted = self._unrouted and credentials is not None
        settle = self._queue.settling(work, told, live=self.live) if work and told else None
        if not (note or settle or closed or unrouted):
            return None
        mark = uuid.uuid4().hex

        def turn(db: sqlite3.Connection) -> Job | None:
            if note:
                note(db)
            if settle:
                settle(db)
            if unrouted:
                outbox.route_waiting(db, self.route)
            return outbox.start(db, closed, mark) if closed else None

        self._unrouted = self._unrouted and not unrouted
        try:
            return await asyncio.wrap_future(self._queue.run(turn))
        except BaseException:
            self._unrouted = True
            raise

    def _credentials(self) -> Credentials | None:
        """Return the credentials that may be used now."""
        found = self._source.current() if self._source and not self._ending else None
        if found:
            self._in_use.newest(found)
            self._unrouted = self._unrouted or found.version != self._version
            self._version = found.version
        return found if found and self._hold.allows(found.version) else None

    def route(self, episode: Episode) -> str | None:
        """Return the channel of an episode; None while nobody knows one."""
        found = self._source.current() if self._source else None
        if self._source and found is None:
            # Vault may know a channel: it is asked for again when there is a token
            self._unrouted = True
            return channels.pick(episode, self._settings.channels, "")
        return channels.pick(episode, self._settings.channels, self._settings.channel, found.channels if found else {})

    def _send(self, job: Job) -> None:
        """Begin a call that is marked on disk."""
        credentials, channel = self._credentials(), job.destination or self.route(job.episode) or ""
        if credentials is None or self._call is None:  # refused while the job was being marked
            self._end(Outcome(job=job, channel=channel, error=SlackError(ErrorKind.TRANSIENT, "no_token")))
            return
        if job.what == "post" and not channel:
            self._end(Outcome(job=job, channel=channel, error=SlackError(ErrorKind.CHANNEL, "no_channel_is_set")))
            return
        self._busy[job.group_id] = job
        self._count(job, channel)
        call, token, version, now = self._call, credentials.token, credentials.version, self._clock()
        plain, note = self._outcomes.is_plain(job), self._moved(job)

        def done(result: Outcome | Exception) -> None:
            self._in_use.end(version)
            if isinstance(result, Exception):
                _log.error("call failed by our fault", exc=result)
                result = Outcome(job=job, channel=channel, error=_OUR_FAULT)
            if result.error is not None and result.error.kind is ErrorKind.TOKEN:
                self._refuse(version)
            self._end(result)

        self._in_use.begin(version)
        self._senders.submit(lambda: call(job, token, channel, now, plain=plain, note=note), done)

    def _end(self, outcome: Outcome) -> None:
        self._ended.append((outcome.job, self._outcomes.judge(outcome, self._clock())))
        self._wake.set()

    def _count(self, job: Job, channel: str) -> None:
        method = UPDATE if job.what == "update" else POST
        if method == UPDATE:
            self._hold.pace.take_update()
        else:
            # lines count where messages do: under the channel as it is named in the settings
            self._hold.pace.take_post(job.destination or job.channel or channel)
        self.state.calls[method] = self.state.calls.get(method, 0) + 1

    def _moved(self, job: Job) -> str:
        """Return what a message says that is not in the channel where it belongs."""
        fallback = self._settings.fallback_channel
        wanted = self.route(job.episode)
        if job.what == "lines" or not fallback or job.destination != fallback or not wanted or wanted == fallback:
            return ""
        return f":warning: Meant for {channels.shown(wanted)}, which Slack does not let this app use."

    def _refuse(self, version: str) -> None:
        if self._source is not None:
            self._hold.refuse(version)
            self._source.refused(version)

    async def _pause(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    async def finish(self, seconds: float) -> None:
        """Begin no call any more, and wait so long for those under way: their end is noted, and no copy follows."""
        self._ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._busy or self._ended:
                    self._noted.clear()
                    await self._noted.wait()

    def stop(self) -> None:
        """Let the threads end; a call that is under way stays marked for the next start."""
        self._senders.stop()
