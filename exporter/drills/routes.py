"""Which times of Alertmanager's routing tree (`route` of its configuration) hold for an alert. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import yaml

from exporter.drills.durations import seconds_of

# Alertmanager's own defaults
_DEFAULT: Final = {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"}
# one of a list; names in quotes may hold anything (Alertmanager 0.27)
_MATCHER: Final = re.compile(
    r'\s*(?:"(?P<any>(?:[^"\\]|\\.)*)"|(?P<name>[a-zA-Z_:][\w:.]*))\s*(?P<operator>=~|!~|!=|=)'
    r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^",]*?))\s*(?:,\s*|$)',
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r'\\([n"\\])')
# where the shipped configuration sends its webhooks (docs/relay.md)
_WEBHOOK_PATH: Final = "/alertmanager"


class RouteError(ValueError):
    """The configuration cannot be read."""


class Timing(NamedTuple):
    """What a route does with an alert; in seconds."""

    receiver: str
    group_wait: float
    group_interval: float


def timing_of(configuration: str, labels: Mapping[str, str]) -> Timing:
    """Return the times of the route that brings an alert with these labels to the relay. Raises RouteError.

    Where several routes take it (`continue`), it is the first whose receiver has the relay's webhook, else the first
    with a webhook at all (Alertmanager may hide addresses), else the first.
    """
    try:
        whole = yaml.safe_load(configuration)
        taking = _taking(whole["route"], {**_DEFAULT, "receiver": ""}, labels)
        leads = {str(one["name"]): _leads(one) for one in whole.get("receivers") or ()}
        found = max(taking, key=lambda route: leads.get(str(route["receiver"]), 0))  # the first of equals
        waits = (seconds_of(str(found[key])) for key in ("group_wait", "group_interval"))
        return Timing(str(found["receiver"]), *waits)
    except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError, re.error) as err:
        raise RouteError(f"Alertmanager's configuration: {err}") from err


def _leads(receiver: Mapping[str, Any]) -> int:
    """Return how surely a receiver is the relay: 2 by its address, 1 when it has some webhook."""
    hooks = receiver.get("webhook_configs") or ()
    paths = {urlsplit(str(hook.get("url", ""))).path.rstrip("/") for hook in hooks}
    return 2 if _WEBHOOK_PATH in paths else 1 if hooks else 0


def _taking(route: Mapping[str, Any], inherited: Mapping[str, Any], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return every route that takes an alert, in Alertmanager's order, with what they inherit."""
    own = {**inherited, **{key: route[key] for key in (*_DEFAULT, "receiver") if route.get(key) is not None}}
    out = []
    for child in route.get("routes") or ():
        if _takes(child, labels):
            out += _taking(child, own, labels)
            if not child.get("continue"):
                break
    return out or [own]


def _takes(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    equal = all(labels.get(name, "") == str(value) for name, value in (route.get("match") or {}).items())
    like = all(re.fullmatch(text, labels.get(name, "")) for name, text in (route.get("match_re") or {}).items())
    given = route.get("matchers") or ()
    return equal and like and all(_matches(text, labels) for text in ([given] if isinstance(given, str) else given))


def _matches(text: str, labels: Mapping[str, str]) -> bool:
    """Whether all matchers of a text hold: one, or several with commas between them, with or without braces."""
    rest = text.strip()
    if rest.startswith("{") and rest.endswith("}"):
        rest = rest[1:-1]
    at, holds = 0, True
    while at < len(rest):
        found = _MATCHER.match(rest, at)
        if found is None:
            raise RouteError(f"matcher {text!r} is not understood")
        holds &= _holds(found, labels)
        at = found.end()
    return holds


def _holds(matcher: "re.Match[str]", labels: Mapping[str, str]) -> bool:
    name, operator = matcher["name"] or _unescape(matcher["any"] or ""), matcher["operator"]
    wanted = _unescape(matcher["quoted"]) if matcher["quoted"] is not None else matcher["bare"]
    value = labels.get(name, "")
    same = bool(re.fullmatch(wanted, value)) if "~" in operator else value == wanted
    return same is not operator.startswith("!")


def _unescape(text: str) -> str:
    # as Alertmanager does it: other backslashes stay, as those of expressions
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text)
