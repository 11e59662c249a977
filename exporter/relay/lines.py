"""The lines of a message's thread: each change of state of its episode, and how it reads. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from exporter.relay import wording
from exporter.relay.episodes import Episode
from exporter.relay.intake import Alert, instant
from exporter.relay.message import MARKS, RANK, place, tone_of, word_of

Kind = Literal["opened", "more", "worse", "fewer", "resolved", "repeated", "note"]

MAX_ALERTS: Final = 10
MAX_TEXT: Final = 2800
ENDED_UNSAID: Final = (
    "Ended while it was muted, or while Alertmanager was restarting: none knows it any more, and none said so."
)
_SEVERITY_OF_NONE: Final = len(RANK)


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of the thread, in finished mrkdwn; `moment` is when it happened, in nanoseconds since 1970."""

    kind: Kind
    text: str
    moment: int = 0


class Change(msgspec.Struct, frozen=True):
    """A line with how it is to be told: in the channel too, or only together with a later one."""

    line: Line
    broadcast: bool = False
    held: bool = False


def changes(before: Episode | None, after: Episode) -> list[Change]:
    """Return what one snapshot changed in an episode, in words; nothing when only texts changed."""
    if before is None or before.number != after.number:
        return [Change(_line("opened", after.firing or after.alerts, after), held=True), *_end(after)]
    was = {(alert.identity, alert.starts_at): alert for alert in before.alerts}
    fresh = [alert for alert in after.firing if not _fired(was.get((alert.identity, alert.starts_at)))]
    severer = [alert for alert in after.firing if _rank(alert) < _rank(was.get((alert.identity, alert.starts_at)))]
    ended = [alert for alert in after.resolved if _fired(was.get((alert.identity, alert.starts_at)))]
    out = []
    if fresh:
        out.append(Change(_line("more", fresh, after), broadcast=True))
    elif severer:
        out.append(Change(_line("worse", severer, after), broadcast=True))
    if ended and after.status == "firing":
        out.append(Change(_line("fewer", ended, after)))
    if after.status == "resolved" and before.status == "firing":
        out += _end(after)
    return out


def repeated(episode: Episode, now: int) -> Change:
    """Return the reminder that an episode goes on; `now` in nanoseconds since 1970."""
    return Change(Line("repeated", _repeated(episode, now), now), broadcast=True)


def ended_unsaid(episode: Episode, now: int) -> Change:
    """Return how it comes that Alertmanager did not tell an end; `now` in nanoseconds since 1970."""
    return Change(Line("note", ENDED_UNSAID, episode.ended or now))


def _end(episode: Episode) -> list[Change]:
    if episode.status == "firing":
        return []
    return [Change(_line("resolved", episode.resolved, episode))]


def _rank(alert: Alert | None) -> int:
    return _SEVERITY_OF_NONE if alert is None else RANK.index(tone_of(alert))


def _fired(alert: Alert | None) -> bool:
    return alert is not None and alert.status == "firing"


def _line(kind: Kind, alerts: Sequence[Alert], episode: Episode) -> Line:
    if kind == "resolved":
        return Line(kind, f"{MARKS['resolved']} *RESOLVED*{_lasted(episode)}", episode.ended or 0)
    if kind == "fewer":
        moment = max((alert.ended or 0 for alert in alerts), default=0)
        left = len(episode.firing)
        return Line(kind, f"{MARKS['resolved']} Resolved: {_names(alerts)} · {left} still firing", moment)
    worst = min(alerts, key=_rank)
    mark, word = MARKS[tone_of(worst)], word_of(worst)
    moment = max(alert.began for alert in alerts)
    if kind == "worse":
        return Line(kind, f"{mark} *Now {word}*: {_names(alerts)}")
    if kind == "more":
        return Line(kind, f"{mark} *{word}* Also firing: {_names(alerts)} · {len(episode.firing)} firing now", moment)
    return Line(kind, f"{mark} *{word}* Firing: {_names(alerts)}", min(alert.began for alert in alerts))


def _repeated(episode: Episode, now: int) -> str:
    worst = min(episode.firing, key=_rank)
    began = min(alert.began for alert in episode.firing)
    since = f" after {wording.duration((now - began) / 1e9)}" if began else ""
    return f"{MARKS[tone_of(worst)]} *Still {word_of(worst)}*{since}: {_names(episode.firing)}"


def _lasted(episode: Episode) -> str:
    if episode.ended is None or not episode.began:
        return ""
    return f" after {wording.duration((episode.ended - instant(episode.began)) / 1e9)}"


def _names(alerts: Sequence[Alert]) -> str:
    """Return what fires where, the first of them."""
    texts = [
        wording.line(" on ".join(filter(None, (alert.name, place(alert)))) or alert.identity, 160) for alert in alerts
    ]
    different = list(dict.fromkeys(texts))
    more = len(different) - MAX_ALERTS
    return ", ".join(different[:MAX_ALERTS]) + (f" and {more} more" if more > 0 else "")


def fitting(lines: Sequence[Line]) -> Sequence[Line]:
    """Return the first lines, as many as one message of the thread takes; at least one."""
    size = 0
    for count, line in enumerate(lines):
        size += wording.width(_dated(line)) + 1
        if size > MAX_TEXT and count:
            return lines[:count]
    return lines


def thread_text(lines: Sequence[Line]) -> str:
    """Return lines as one message of a thread; several have their moments, since they are not of now."""
    return lines[0].text if len(lines) == 1 else "\n".join(_dated(line) for line in lines)


def _dated(line: Line) -> str:
    return f"{wording.moment(line.moment)}  {line.text}" if line.moment > 0 else line.text
