"""Alertmanager: whether alerts are routed to the relay, with the token that it asks for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from exporter.clients.alertmanager import fetch_status
from exporter.clients.http_get import GetError
from exporter.doctor.finding import Finding, Found, Notes
from exporter.doctor.place import LOOPBACK, Place, is_absent

_NOTE: Final = Notes("alertmanager")
PATH: Final = "/alertmanager"
"""The relay's webhook."""

_FIX: Final = "take receivers and routes from the shipped alertmanager/alertmanager.yml, then SIGHUP"


def examine(place: Place, relay: Place) -> Found:
    """Read the configuration that is in force (GET /api/v2/status)."""
    try:
        config = _yaml(fetch_status(place.url, place.deadline, place.access).configuration)
    except GetError as err:
        yield _unreachable(place, err)
        return
    except ValueError as err:
        yield _NOTE.problem("reachable", f"{place.url}: not an Alertmanager's answer: {err}", "is the address right?")
        return
    yield _NOTE.ok("reachable", place.url)
    yield from _routing(config, relay)


def _unreachable(place: Place, err: GetError) -> Finding:
    if is_absent(err) and not place.given:
        fix = "--alertmanager URL, where it is elsewhere"
        return _NOTE.skipped("reachable", f"nothing listens at {place.url}", fix)
    fix = "systemctl status prometheus-alertmanager; is the address right?"
    return _NOTE.problem("reachable", f"{place.url}: {err}", fix)


def _yaml(text: str) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415 -- 2 MB, here only

    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise ValueError("its configuration is no YAML") from err
    if not isinstance(config, Mapping):
        raise ValueError("its configuration is empty")  # noqa: TRY004 -- of the text, not of a caller's argument
    return config


def _routing(config: Mapping[str, Any], relay: Place) -> Found:
    hooks = dict(_webhooks(config))
    if not hooks:
        yield _NOTE.problem("receiver", "no receiver has a webhook of the relay", _FIX)
        return
    used = set(_receivers(config.get("route") or {}))
    first = (config.get("route") or {}).get("receiver")
    if first not in hooks:
        text = f"what no route takes goes to the receiver {first!r}, which is not the relay"
        yield _NOTE.problem("route", text, f"route: receiver: {next(iter(hooks))}")
    elif lost := sorted(used - set(hooks)):
        text = f"some routes do not lead to the relay: {', '.join(lost)}"
        fix = "wanted? Then nothing is to be done; else name the relay's receiver there"
        yield _NOTE.warning("route", text, fix)
    else:
        yield _NOTE.ok("route", f"all routes lead to the relay ({', '.join(sorted(used))})")
    for name, hook in hooks.items():
        yield from _hook(name, hook, relay)


def _webhooks(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the receivers that post to a relay, and how."""
    for receiver in config.get("receivers") or ():
        for hook in receiver.get("webhook_configs") or ():
            # newer ones hide the address as they hide secrets
            if _path(hook) in {PATH, None}:
                yield str(receiver.get("name")), hook


def _path(hook: Mapping[str, Any]) -> str | None:
    url = str(hook.get("url", ""))
    return None if "secret" in url else urlsplit(url).path.rstrip("/")


def _receivers(route: Mapping[str, Any]) -> Iterator[str]:
    if "receiver" in route:
        yield str(route["receiver"])
    routes: Sequence[Mapping[str, Any]] = route.get("routes") or ()
    for one in routes:
        yield from _receivers(one)


def _hook(name: str, hook: Mapping[str, Any], relay: Place) -> Found:
    if hook.get("send_resolved") is False:
        text = f"the receiver {name} does not tell what is resolved: messages stay red"
        yield _NOTE.problem("resolved", text, "send_resolved: true")
    http = hook.get("http_config") or {}
    if not (http.get("authorization") or http.get("basic_auth") or http.get("bearer_token_file")):
        fix = "http_config: authorization: credentials_file: /etc/hostwatch/relay-token"
        yield _NOTE.warning("token", f"the receiver {name} sends no token", fix)
    if _path(hook) is not None:
        yield from _address(name, urlsplit(str(hook["url"])), relay)


def _address(name: str, url: Any, relay: Place) -> Found:  # noqa: ANN401 -- a SplitResult
    host, port = relay.host_and_port
    same = url.hostname == host or {url.hostname, host} <= LOOPBACK
    if relay.given and (not same or (url.port or 80) != port):
        text = f"the receiver {name} posts to {url.netloc}, the relay is at {host}:{port}"
        yield _NOTE.problem("address", text, f"url: {relay.at(PATH)}")
