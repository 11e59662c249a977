"""Where a reader goes from a message: runbook, dashboard, graph, silence, relay. Pure."""

import re
from typing import Final
from urllib.parse import quote

from exporter.relay import wording
from exporter.relay.episodes import Episode
from exporter.relay.intake import Text

_HOST_AND_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^/:\s\[\]]+):\d{1,5}")
MAX_FILTER: Final = 1500


def host(instance: str) -> str:
    """Return the `instance` label without its port; a URL stays whole."""
    match = _HOST_AND_PORT.fullmatch(instance)
    return match[1].strip("[]") if match else instance


def ways(episode: Episode, annotations: Text, relay_url: str | None, limit: int) -> str:
    """Return the links of an episode on one line, as many as fit into `limit` UTF-16 units, the likeliest first."""
    shown = episode.firing or episode.resolved
    first = shown[0]
    # several alerts of one group may each have their own: the earliest one's is better than none
    notes = {**first.annotations, **annotations}
    candidates = (
        (notes.get("runbook_url", ""), "Runbook"),
        (notes.get("dashboard_url", ""), "Dashboard"),
        (first.generator_url, "Graph"),
        (_silence(episode) if episode.status == "firing" else "", "Silence"),
        (relay_url or "", "Relay"),
    )
    out = ""
    for url, label in candidates:
        text = wording.link(url, label) if url else None
        if text and wording.width(out) + 5 + wording.width(text) <= limit:
            out += ("  ·  " if out else "") + text
    return out


def _silence(episode: Episode) -> str:
    """Return Alertmanager's form for a new silence of this group, or its list when the matchers get too long."""
    if not episode.external_url:
        return ""
    base = episode.external_url.rstrip("/")
    first, *others = episode.alerts
    common = {k: v for k, v in first.labels.items() if all(o.labels.get(k) == v for o in others)}
    # never fewer matchers than the group has: a silence that is too wide hides other troubles
    matchers = ", ".join(
        f"{name}={_quoted(value)}" for name, value in sorted({**common, **episode.group_labels}.items())
    )
    if not matchers:
        return f"{base}/#/silences"
    encoded = quote("{" + matchers + "}", safe="")
    return f"{base}/#/silences/new?filter={encoded}" if len(encoded) <= MAX_FILTER else f"{base}/#/silences"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
