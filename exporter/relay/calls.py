"""One call to Slack, made from a job of the outbox: payload, mention, notes about lateness and copies. Blocks."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from exporter.logs import Secret
from exporter.relay import lines, wording
from exporter.relay.message import headline, render, tone_of, worst_tone
from exporter.relay.outbox import Job
from exporter.relay.settings import SlackSettings
from exporter.relay.slack import Posted, Slack, SlackError

COPY_NOTE: Final = (
    ":warning: Sent again: Slack did not confirm the first copy. If that is there too, this one is kept up to date."
)
CONTINUES_NOTE: Final = (
    ":arrow_upper_right: Continues an earlier message, which Slack does not let this app change: that one shows an old"
    " state."
)
_MAX_PLAIN: Final = 2000


class Outcome(msgspec.Struct, frozen=True):
    """What became of a job: where its root message stands now, or the error."""

    job: Job
    channel: str = ""
    """The channel that was asked for, as it is named in the settings."""
    posted: Posted | None = None
    error: SlackError | None = None


class Caller:
    """Makes calls; safe for several threads."""

    def __init__(self, slack: Slack, settings: SlackSettings, relay_url: str | None) -> None:
        self._slack, self._settings, self._relay_url = slack, settings, relay_url

    def __call__(self, job: Job, token: Secret, channel: str, now: float, *, plain: bool, note: str = "") -> Outcome:
        """Make the call of a job; `plain` leaves blocks and metadata out, for what Slack did not take otherwise."""
        try:
            posted = self._call(job, token, channel, now, plain=plain, note=note)
        except SlackError as err:
            return Outcome(job=job, channel=channel, error=err)
        return Outcome(job=job, channel=channel, posted=posted)

    def _call(self, job: Job, token: Secret, channel: str, now: float, *, plain: bool, note: str) -> Posted | None:
        # metadata may be what Slack did not take
        delivery = "" if plain else job.mark
        if job.what == "update":
            where = Posted(channel=job.channel or "", ts=job.ts or "")
            # the mention stays in the text: an edit mentions nobody
            payload = self._root(job, now, plain=plain, note=note)
            self._slack.update(token, where, payload)
            return where
        if job.what == "post":
            payload = self._root(job, now, plain=plain, note=note)
            return self._slack.post(token, channel, payload, delivery=delivery)
        payload = self._thread(job, now, note)
        target, thread = job.channel or channel, job.ts
        self._slack.post(token, target, payload, thread=thread, broadcast=job.broadcast, delivery=delivery)
        return None

    def _root(self, job: Job, now: float, *, plain: bool, note: str) -> Mapping[str, Any]:
        late = job.what == "post" and now - job.waiting_since > self._settings.late_after
        notes = [
            text
            for text in (
                COPY_NOTE if job.copied or (job.again and job.what == "post") else "",
                CONTINUES_NOTE if job.continues else "",
                self._late(job, now) if late else "",
                note,
            )
            if text
        ]
        message = render(job.episode, self._relay_url, notes=notes, mention=self._mention(job))
        if plain:
            return {"text": wording.cut("\n".join([message.text, *notes]), _MAX_PLAIN), "attachments": []}
        return message.payload()

    def _late(self, job: Job, now: float) -> str:
        waited = wording.duration(now - job.waiting_since)
        if job.episode.status == "resolved":
            return f":hourglass: Fired and was resolved while Slack could not be reached; told {waited} late."
        return f":hourglass: Told {waited} late: Slack could not be reached before."

    def _mention(self, job: Job) -> str:
        """Return who is mentioned in a root message: nobody once all is over, unless an update would drop it."""
        if job.episode.status == "resolved":
            return ""
        return self._for(worst_tone(job.episode), {alert.severity for alert in job.episode.firing})

    def _for(self, tone: str, severities: set[str]) -> str:
        mentions = self._settings.mentions
        return next((mentions[name] for name in (*sorted(severities), tone) if name in mentions), "")

    def _thread(self, job: Job, now: float, note: str) -> Mapping[str, Any]:
        text = lines.thread_text(job.lines)
        if job.broadcast and job.episode.status == "firing":
            worst = {alert.severity for alert in job.episode.firing if tone_of(alert) == worst_tone(job.episode)}
            # what reaches the channel stands there alone, away from its thread: it has to tell what it is about
            text = f"{headline(job.episode)}\n{text}" if len(job.lines) > 1 else text
            mention = self._for(worst_tone(job.episode), worst)
            text = f"{text}  {mention}" if mention else text
        if now - job.waiting_since > self._settings.late_after:
            text += f"\n:hourglass: Told {wording.duration(now - job.waiting_since)} late."
        text += f"\n{COPY_NOTE}" if job.again else ""
        text += f"\n{note}" if note else ""
        return {"text": text, "parse": "none", "link_names": False, "unfurl_links": False, "unfurl_media": False}
