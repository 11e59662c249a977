"""A Slack message as HTML, the way Slack would show it: the subset of mrkdwn and Block Kit that our messages use.

Everything is escaped here once more; only http(s) links of the message become links.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from markupsafe import Markup, escape

# a link, date or mention in angle brackets; our marks; *bold*, _italic_; a line's end
_TOKEN: Final = re.compile(
    r"<(?P<angle>[^<>\n]*)>"
    r"|:(?P<mark>red|white|large_(?:orange|blue|green))_circle:"
    r"|:(?P<sign>warning|hourglass|mag):"
    r"|(?<!\w)\*(?P<bold>[^*\n]+)\*(?!\w)"
    r"|(?<!\w)_(?P<italic>[^_\n]+)_(?!\w)"
    r"|(?P<end>\n)"
)
# characters that most fonts have, the older ones too
_SIGNS: Final = {"warning": "\u26a0", "hourglass": "\u231b", "mag": "\u2315"}
_ENTITIES: Final = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


def mrkdwn(text: str) -> Markup:
    """Return mrkdwn as safe HTML."""
    return Markup("").join(_pieces(text))


def _pieces(text: str) -> Iterator[Markup]:
    last = 0
    for match in _TOKEN.finditer(text):
        yield _plain(text[last : match.start()])
        yield _piece(match)
        last = match.end()
    yield _plain(text[last:])


def _piece(match: re.Match[str]) -> Markup:
    kind = match.lastgroup
    body = match[kind] if kind else match[0]
    match kind:
        case "angle":
            return _angle(body)
        case "mark":
            name = body.replace("_", " ").removeprefix("large ")
            return Markup('<span class="mark {}" role="img" aria-label="{} circle"></span>').format(name, name)
        case "sign":
            return Markup('<span class="sign" aria-hidden="true">{}</span>').format(_SIGNS[body])
        case "bold":
            return Markup("<strong>{}</strong>").format(_plain(body))
        case "italic":
            return Markup("<em>{}</em>").format(_plain(body))
    return Markup("<br>")


def _angle(body: str) -> Markup:
    """Return what stands in angle brackets: a date's fallback text, a link, or the mention as text."""
    target, _, label = body.partition("|")
    if target.startswith("!date^"):
        return Markup("<time>{}</time>").format(_plain(label))
    if target.startswith(("http://", "https://")):
        return Markup('<a href="{}" rel="noreferrer">{}</a>').format(_unescape(target), _unescape(label or target))
    return Markup('<span class="mention">{}</span>').format(_unescape(label or target))


def _plain(text: str) -> Markup:
    return escape(_unescape(text))


def _unescape(text: str) -> str:
    for entity, char in _ENTITIES:
        text = text.replace(entity, char)
    return text


def blocks(message: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Return kind and HTML of each text in the blocks of a message's attachments."""
    out = []
    for attachment in message["attachments"]:
        for block in attachment["blocks"]:
            texts = [block["text"]] if block["type"] == "section" else block["elements"]
            out += [(block["type"], mrkdwn(text["text"])) for text in texts]
    return out
