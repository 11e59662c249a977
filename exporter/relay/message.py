"""The Slack message of one episode: what, where, since when, how bad, and where to go from there. Pure.

The headline is the message's text, so that it is also what a phone shows; the rest stands in one attachment, the
only way to a coloured bar. Severity is said by a mark and by a word. Links are mrkdwn, not buttons: Slack
posts a click on a button back to the app, and shows a warning to the reader when nobody answers that.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from exporter.relay import links, wording
from exporter.relay.episodes import Episode
from exporter.relay.intake import Alert, Text, instant

Tone = Literal["critical", "warning", "info", "none", "resolved"]

# Slack: 50 blocks, 3,000 characters a section, and (not documented) about 13,200 of JSON in all blocks
MAX_BLOCKS: Final = 50
MAX_SECTION: Final = 3000
MAX_TOTAL: Final = 12_000
MAX_HEADLINE: Final = 600
MAX_LINES: Final = 20

RANK: Final[Sequence[Tone]] = ("critical", "warning", "info", "none")
MARKS: Final[dict[Tone, str]] = {
    "critical": ":red_circle:",
    "warning": ":large_orange_circle:",
    "info": ":large_blue_circle:",
    "none": ":white_circle:",
    "resolved": ":large_green_circle:",
}
_COLOURS: Final[dict[Tone, str]] = {
    "critical": "#d1242f",
    "warning": "#d4790a",
    "info": "#1d6fd1",
    "none": "#8a8f98",
    "resolved": "#1a8a4c",
}
_TONES: Final[dict[str, Tone]] = {
    "critical": "critical",
    "page": "critical",
    "error": "critical",
    "warning": "warning",
    "info": "info",
    "none": "none",
}
# labels that name the part of a machine, in the order in which they are looked for
_PARTS: Final = ("mountpoint", "device", "container", "unit", "group", "target", "name")
_SAID_ELSEWHERE: Final = frozenset({"alertname", "severity", "instance"})


class Message(msgspec.Struct, frozen=True):
    """What chat.postMessage takes, but for the channel; `tone` is for our own page."""

    text: str
    attachments: tuple[dict[str, Any], ...]
    tone: Tone

    def payload(self) -> dict[str, Any]:
        """Return the arguments of chat.postMessage; nothing in them is parsed as a mention, none is unfurled."""
        return {
            "text": self.text,
            "attachments": list(self.attachments),
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }


def render(episode: Episode, relay_url: str | None = None, *, notes: Sequence[str] = (), mention: str = "") -> Message:
    """Return the message of an episode as it is now. Always within Slack's limits.

    `notes` are finished mrkdwn about the message itself, such as how late it is; `mention` is who shall see it.
    """
    tone = worst_tone(episode)
    text = f"{headline(episode)}  {mention}" if mention else headline(episode)
    blocks = _fitting(episode, relay_url, notes)
    attachment = {"color": _COLOURS[tone], "fallback": text, "blocks": blocks}
    return Message(text=text, attachments=(attachment,), tone=tone)


def worst_tone(episode: Episode) -> Tone:
    """Return how bad an episode is now."""
    return "resolved" if episode.status == "resolved" else _worst(episode.firing)


def tone_of(alert: Alert) -> Tone:
    """Return how bad a firing alert is; a severity that we do not know is treated as a warning."""
    return _TONES.get(alert.severity, "warning")


def word_of(alert: Alert) -> str:
    """Return the severity as a word, in the rule's own terms: CRITICAL, WARNING, P2, or ALERT when it has none."""
    return wording.line(alert.severity.upper(), 24) if alert.severity else "ALERT"


def _worst(alerts: Sequence[Alert]) -> Tone:
    return min((tone_of(alert) for alert in alerts), key=RANK.index, default="none")


def _worst_word(alerts: Sequence[Alert]) -> str:
    """Return the word of the worst alert, the earliest of equals."""
    return word_of(min(alerts, key=lambda alert: (RANK.index(tone_of(alert)), alert.began, alert.identity)))


def headline(episode: Episode) -> str:
    """Return one line: mark, word, what, where, and how many or how long."""
    alerts = episode.firing or episode.resolved
    what = _some([alert.name or "Alert without a name" for alert in alerts], 3, 200)
    where = _some(_places(alerts, episode.group_labels), 3, 200)
    subject = what + (f" on {where}" if where else "")
    if episode.status == "resolved":
        return f"{MARKS['resolved']} *{_drill(alerts)}RESOLVED*  {subject}{_count(episode)}{_lasted(episode)}"
    return f"{MARKS[_worst(alerts)]} *{_drill(alerts)}{_worst_word(alerts)}*  {subject}{_count(episode)}"


def _drill(alerts: Sequence[Alert]) -> str:
    """Say that nothing is wrong: every alert is a drill's (label `drill="true"`)."""
    return "DRILL · " if all(alert.labels.get("drill") == "true" for alert in alerts) else ""


def _count(episode: Episode) -> str:
    """Say how many fire when that is not plain from the rest."""
    firing, resolved = len(episode.firing), len(episode.resolved) + episode.more_resolved
    if not firing:
        return f" ({resolved} resolved)" if episode.more_resolved else ""
    if firing == 1 and not resolved and not episode.truncated_alerts:
        return ""
    return f" ({firing} firing" + (f", {resolved} resolved)" if resolved else ")")


def _lasted(episode: Episode) -> str:
    if episode.ended is None or not episode.began:
        return ""
    return f" after {wording.duration((episode.ended - instant(episode.began)) / 1e9)}"


def place(alert: Alert) -> str:
    """Return where an alert is: its instance without a port, and the part of the machine; not escaped."""
    host = links.host(alert.labels.get("instance", ""))
    part = next((alert.labels[name] for name in _PARTS if alert.labels.get(name)), "")
    return f"{host} ({part})" if host and part else host or part


def _places(alerts: Sequence[Alert], group_labels: Text) -> list[str]:
    """Return the places of the alerts; those without any are where their group is."""
    found = [where for alert in alerts if (where := place(alert))]
    if found:
        return found
    return [f"{name}={value}" for name, value in sorted(group_labels.items()) if name not in _SAID_ELSEWHERE]


def _some(values: Sequence[str], most: int, limit: int) -> str:
    """Return the first `most` different values, escaped, and how many more there are."""
    different = list(dict.fromkeys(values))
    shown = ", ".join(wording.line(value, limit // most - 2) for value in different[:most])
    more = len(different) - most
    return f"{shown} and {more} more" if more > 0 else shown


def _fitting(episode: Episode, relay_url: str | None, notes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the blocks with as many alerts listed as the budget allows."""
    lines = min(MAX_LINES, len(episode.alerts))
    while True:
        blocks = [*(_context(note) for note in notes), *_blocks(episode, relay_url, lines)]
        if wording.width(json.dumps(blocks, ensure_ascii=False)) <= MAX_TOTAL or lines == 0:
            return blocks
        lines = lines * 3 // 4


def _blocks(episode: Episode, relay_url: str | None, lines: int) -> list[dict[str, Any]]:
    shared = _shared_annotations(episode)
    blocks = [_section(text)] if (text := _story(shared)) else []
    if len(episode.alerts) + episode.more_resolved > 1:
        blocks += [_section(text) for text in _listed(episode, lines, told=bool(text))]
    elif not text:
        blocks.append(_section("_The rule has no summary and no description._"))
    blocks.append(_context(_when(episode)))
    if labels := _labels(episode):
        blocks.append(_context(labels))
    if ways := links.ways(episode, shared, relay_url, MAX_SECTION - 100):
        blocks.append(_section(ways))
    return blocks


def _shared_annotations(episode: Episode) -> Text:
    """Return the annotations that are equal in all alerts that fire, or in all when none does."""
    first, *others = episode.firing or episode.resolved
    return {
        name: text for name, text in first.annotations.items() if all(o.annotations.get(name) == text for o in others)
    }


def _story(annotations: Text) -> str:
    """Return summary and description, one below the other; the same text only once."""
    summary = wording.paragraph(annotations.get("summary", ""), 500)
    more = wording.paragraph(annotations.get("description", "") or annotations.get("message", ""), 1800)
    return "\n".join(text for text in dict.fromkeys((summary, more)) if text)


def _listed(episode: Episode, most: int, *, told: bool) -> list[str]:
    """Return a line for each of the `most` worst alerts, packed into sections."""
    firing = sorted(episode.firing, key=lambda alert: (RANK.index(tone_of(alert)), alert.began))
    resolved = sorted(episode.resolved, key=lambda alert: alert.ended or 0, reverse=True)
    shown = [*firing, *resolved][:most]
    several = len({alert.name for alert in episode.alerts}) > 1
    began = instant(episode.began)
    lines = [_line(alert, began, named=several, told=told) for alert in shown]
    if more := _more(len(firing) - len(shown), len(episode.alerts) + episode.more_resolved - len(shown)):
        lines.append(more)
    sections = [""]
    for text in lines:
        if wording.width(sections[-1]) + 1 + wording.width(text) > MAX_SECTION:
            sections.append("")
        sections[-1] += ("\n" if sections[-1] else "") + text
    return [text for text in sections if text]


def _more(firing: int, others: int) -> str:
    if others <= 0:
        return ""
    resolved = others - max(0, firing)
    parts = ([f"{firing} more firing"] if firing > 0 else []) + ([f"{resolved} more resolved"] if resolved else [])
    return f"…and {' and '.join(parts)}"


def _line(alert: Alert, began: int, *, named: bool, told: bool) -> str:
    """Return one alert of several on one line; `named`: their names differ, `told`: the story stands above.

    `began` is when the episode did, in nanoseconds since 1970.
    """
    mark, word = (
        (MARKS["resolved"], "RESOLVED") if alert.status == "resolved" else (MARKS[tone_of(alert)], word_of(alert))
    )
    what = [alert.name] if named and alert.name else []
    where = place(alert) or ", ".join(f"{k}={v}" for k, v in sorted(alert.labels.items()) if k not in _SAID_ELSEWHERE)
    subject = wording.line(" on ".join([*what, *([where] if where else [])]) or alert.identity, 120)
    parts = [f"{mark} *{word}* {subject}"]
    annotations = alert.annotations
    if not told and (text := wording.line(annotations.get("summary") or annotations.get("description", ""), 160)):
        parts.append(text)
    if alert.status == "firing":
        parts.append(f"since {wording.moment(alert.began, began)}")
    elif alert.ended is not None:
        parts.append(f"after {wording.duration((alert.ended - alert.began) / 1e9)}")
    return " · ".join(parts)


def _when(episode: Episode) -> str:
    """Return since when it fires, or from when to when it did and how bad it was."""
    began = wording.moment(instant(episode.began))
    if episode.status == "firing":
        cut = episode.truncated_alerts
        more = f" · {cut} more alerts were cut off by Alertmanager's max_alerts" if cut else ""
        return f"Firing since {began}{more}"
    ended = (
        f"{began} to {wording.moment(episode.ended, instant(episode.began))}"
        if episode.ended is not None
        else f"{began} on"
    )
    return f"Was {_worst_word(episode.resolved)} from {ended}"


def _labels(episode: Episode) -> str:
    """Return the labels that all its alerts share and that the headline does not tell."""
    first, *others = episode.alerts
    common = {k: v for k, v in first.labels.items() if all(o.labels.get(k) == v for o in others)}
    left = [(name, value) for name, value in sorted(common.items()) if name not in _SAID_ELSEWHERE and value]
    return " · ".join(wording.line(f"{name}: {value}", 80) for name, value in left[:12])


def _section(text: str) -> dict[str, Any]:
    # verbatim: Slack makes no links and mentions of its own out of the text
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": True}]}
