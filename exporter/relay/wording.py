"""Words for people in Slack's mrkdwn: escaped and cut texts, lengths of time, moments, links. Pure.

Values come from labels and annotations, which whoever can send metrics can choose: none of them can mention
people, make a link or look like one of our own marks.
"""

import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

ELLIPSIS: Final = "…"
MAX_URL: Final = 2000

_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# control characters but newline; lone surrogates; what turns the direction of text (Unicode TR 9)
_UNSEEN: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS: Final = re.compile("\r\n?|[\u0085\u2028\u2029]")
_OUR_MARKS: Final = re.compile(r":(?=(?:red|white|large_(?:orange|blue|green|yellow))_circle:)")
# what ends a link in mrkdwn, or is no part of any URL
# RFC 3986 knows ASCII only; a blank of another alphabet would end Slack's link early
_NOT_IN_URL: Final = re.compile(r"[^\x21-\x7e]|[<>|\"`\\^{}]")


def width(text: str) -> int:
    """Return the length as Slack's limits may count it: in UTF-16 units."""
    return len(text) + sum(char > "\uffff" for char in text)


def clean(text: str) -> str:
    """Return a value without invisible characters, lone surrogates, and copies of our own marks."""
    text = _UNSEEN.sub(" ", _LINE_ENDS.sub("\n", text))
    # a word joiner after the colon: it looks the same and is no emoji
    return _OUR_MARKS.sub(":\u2060", text).strip()


def line(text: str, limit: int) -> str:
    """Return a value as one escaped line of at most `limit` UTF-16 units."""
    return _escape(" ".join(clean(text[: limit * 4]).split()), limit)


def paragraph(text: str, limit: int) -> str:
    """Return a value as escaped text of at most `limit` UTF-16 units; its lines stay, empty ones are joined."""
    return _escape(re.sub(r"\n\s*\n", "\n", clean(text[: limit * 4])), limit)


def _escape(text: str, limit: int) -> str:
    out: list[str] = []
    left = limit
    for index, char in enumerate(text):
        piece = _ENTITIES.get(char, char)
        size = width(piece)
        # the last place is kept for the ellipsis, unless this is the end
        if size > left - (index + 1 < len(text)):
            return "".join(out) + ELLIPSIS
        out.append(piece)
        left -= size
    return "".join(out)


def cut(text: str, limit: int) -> str:
    """Return finished mrkdwn of at most `limit` UTF-16 units, cut at a line's end where there is one."""
    if width(text) <= limit:
        return text
    kept = text[: limit // 2]
    return (kept.rpartition("\n")[0] or kept.partition("<")[0]) + ELLIPSIS


def link(url: str, label: str) -> str | None:
    """Return a mrkdwn link, or None if `url` is no http(s) address of a bearable length. `label` is ours."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return None
    safe = _NOT_IN_URL.sub(lambda match: quote(match[0], errors="replace"), url.strip()).replace("&", "&amp;")
    return f"<{safe}|{label}>" if width(safe) <= MAX_URL else None


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: `45 s`, `12 min`, `1 h 5 min`, `2 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole < 600 and whole % 60 else "")
    if whole < 86400:
        return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")
    return f"{whole // 86400} d" + (f" {whole % 86400 // 3600} h" if whole % 86400 >= 3600 else "")


def moment(nanoseconds: int, day_of: int | None = None) -> str:
    """Return a moment (nanoseconds since 1970) that Slack shows in each reader's own time zone; elsewhere in UTC.

    Only the time of day, if `day_of` is within 12 hours of it: the reader has the date from there.
    """
    seconds = nanoseconds // 1_000_000_000
    if not 0 < seconds < 253_402_300_800:  # the year 10000
        return "an unknown time"
    utc = datetime.fromtimestamp(seconds, UTC)
    if day_of is not None and abs(nanoseconds - day_of) < 12 * 3600 * 1_000_000_000:
        return f"<!date^{seconds}^{{time}}|{utc:%H:%M} UTC>"
    return f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{utc:%-d %b %Y, %H:%M} UTC>"
