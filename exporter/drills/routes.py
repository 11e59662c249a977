"""Which times of Alertmanager's routing tree (`route` of its configuration) hold for an alert. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import yaml

from exporter.drills.durations import seconds_of

# Alertmanager's own defaults
_DEFAULT: Final = {"group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"}
_MATCHER: Final = re.compile(r'\s*([a-zA-Z_][\w.]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|(.*?))\s*')


class RouteError(ValueError):
    """The configuration cannot be read."""


class Timing(NamedTuple):
    """What a route does with an alert; in seconds."""

    receiver: str
    group_wait: float
    group_interval: float


def timing_of(configuration: str, labels: Mapping[str, str]) -> Timing:
    """Return the times of the first route that takes an alert with these labels. Raises RouteError."""
    try:
        route = yaml.safe_load(configuration)["route"]
        found = _descend(route, {**_DEFAULT, "receiver": ""}, labels)
        waits = (seconds_of(str(found[key])) for key in ("group_wait", "group_interval"))
        return Timing(str(found["receiver"]), *waits)
    except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError) as err:
        raise RouteError(f"Alertmanager's configuration: {err}") from err


def _descend(route: Mapping[str, Any], inherited: Mapping[str, Any], labels: Mapping[str, str]) -> Mapping[str, Any]:
    own = {**inherited, **{key: route[key] for key in (*_DEFAULT, "receiver") if route.get(key) is not None}}
    for child in route.get("routes") or ():
        if _takes(child, labels):
            return _descend(child, own, labels)
    return own


def _takes(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    equal = all(labels.get(name, "") == value for name, value in (route.get("match") or {}).items())
    like = all(re.fullmatch(text, labels.get(name, "")) for name, text in (route.get("match_re") or {}).items())
    return equal and like and all(_matches(text, labels) for text in route.get("matchers") or ())


def _matches(text: str, labels: Mapping[str, str]) -> bool:
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise RouteError(f"matcher {text!r} is not understood")
    name, operator, quoted, bare = found.groups()
    wanted = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    value = labels.get(name, "")
    same = bool(re.fullmatch(wanted, value)) if "~" in operator else value == wanted
    return same is not operator.startswith("!")
