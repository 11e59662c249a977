"""Static pages of containers: a landing page and one for each environment, for any web host or a folder.

They fetch nothing and need no script: one inline script says how old the page is by now, and loads it again, which
without it a <meta> does: that one takes the place from under a screen reader.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

from exporter import __version__
from exporter.fleet.containers import Container, Containers, SilentHost
from exporter.fleet.moments import ago, rfc3339, utc_words

LANDING: Final = "index.html"
GENERATOR: Final = "hostwatch containers"
_STYLE: Final = (Path(__file__).parent / "pages.css").read_text(encoding="utf-8")
# the page's own age, and a warning when no newer one came for three of its refreshes
_SCRIPT: Final = """
const p = document.querySelector(".age"), at = Date.parse(p.dataset.at), every = Number(p.dataset.every);
const tell = () => {
  const s = Math.max(0, (Date.now() - at) / 1000), old = s > 3 * every + 30;
  const words = ` That is ${Math.round(s / 60)} min ago: nobody writes this page any more.`;
  p.querySelector("output").textContent = old ? words : "";
  p.classList.toggle("old", old);
};
tell(); setInterval(tell, 5000);
setInterval(() => { if (!String(getSelection())) location.reload(); }, every * 1000);
"""
_SAFE: Final = re.compile(r"[a-z0-9]+")


def page_name(environment: str) -> str:
    """Return the file of an environment's page: plain letters, and a digest that keeps two environments apart."""
    words = "-".join(_SAFE.findall(environment.lower()))[:40]
    digest = hashlib.sha256(environment.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"environment-{words}-{digest}.html" if words else f"environment-{digest}.html"


def pages(found: Containers, refresh: int = 60) -> dict[str, str]:
    """Return every page by its file name, the landing page last; browsers load them again every `refresh` seconds."""
    environments = sorted({*found.hosts, *(one.environment for one in found.silent)})
    result = {page_name(name): _environment_page(found, name, refresh) for name in environments}
    result[LANDING] = _landing_page(found, environments, refresh)
    return result


def _landing_page(found: Containers, environments: Sequence[str], refresh: int) -> str:
    tiles = "".join(_tile(found, name) for name in environments)
    body = f'<ul class="tiles">{tiles}</ul>' if tiles else '<p class="empty">Prometheus knows of no container.</p>'
    bad = [one for one in found.containers if one.trouble < 2]
    if bad:
        body += "<h2>What needs somebody</h2>" + _table(bad, found.at, environment=True)
    return _page("Containers", "", _faults(found.faults) + body, found, refresh)


def _environment_page(found: Containers, environment: str, refresh: int) -> str:
    mine = [one for one in found.containers if one.environment == environment]
    silent = [one for one in found.silent if one.environment == environment]
    counts = f'<div class="badges">{_badges(mine, silent)}</div>'
    body = f"{_faults(found.faults)}{_silent(silent)}{counts}<h2>{_number(len(mine), 'container')}</h2>"
    body += _table(mine, found.at) if mine else '<p class="empty">No host of this environment tells of a container.</p>'
    way = f'<nav><a href="{LANDING}">All environments</a></nav>'
    return _page(f"Containers of {environment}", way, body, found, refresh)


def _tile(found: Containers, environment: str) -> str:
    mine = [one for one in found.containers if one.environment == environment]
    silent = [one for one in found.silent if one.environment == environment]
    worst = min((one.trouble for one in mine), default=3)
    tone = "bad" if worst == 0 else "warn" if worst < 2 or silent else "good"
    hosts, counted = len(found.hosts.get(environment, ())), _number(len(mine), "container")
    return (
        f'<li><a class="tile {tone}" href="{page_name(environment)}"><strong>{escape(environment)}</strong>'
        f'<span class="hosts">{counted} on {_number(hosts, "host")}</span>'
        f'<span class="badges">{_badges(mine, silent)}</span></a></li>'
    )


def _badges(mine: Sequence[Container], silent: Sequence[SilentHost]) -> str:
    """Return a count for each state that somebody should know of, and how many run."""
    unhealthy = sum(one.health == "unhealthy" for one in mine)
    counts = [
        ("bad", sum(one.has_failed for one in mine), "failed"),
        ("warn", sum(one.state == "restarting" for one in mine), "restarting"),
        ("warn", unhealthy, "unhealthy"),
        ("warn", len(silent), "silent host" if len(silent) == 1 else "silent hosts"),
        ("", sum(one.trouble == 2 for one in mine), "exited (0)"),
        ("", sum(one.state in {"created", "paused", "removing"} for one in mine), "created or paused"),
        ("good", sum(one.state == "running" for one in mine) - unhealthy, "running"),
    ]
    return "".join(f'<span class="badge {tone}">{count} {words}</span>' for tone, count, words in counts if count > 0)


def _table(rows: Iterable[Container], now: float, *, environment: bool = False) -> str:
    heads = [*(["Environment"] if environment else []), "Host", "Container", "State", "Image", "Version", "Since"]
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(_row(one, heads, now) for one in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(one: Container, heads: Sequence[str], now: float) -> str:
    tone = ("bad", "warn", "", "good" if one.state == "running" else "")[one.trouble]
    cells = {
        "Environment": f'<a href="{page_name(one.environment)}">{escape(one.environment)}</a>',
        "Host": escape(one.host),
        "Container": escape(one.name),
        "State": f'<span class="badge {tone}">{escape(one.words)}</span>',
        "Image": escape(one.image),
        "Version": escape(one.version) if one.version else "-",
        "Since": _since(one.since, now),
    }
    marks = {"Container": ' class="name"'}
    # one element for each value: a cell of the narrow page is a grid of a label and a value
    texts = [f'<td{marks.get(name, "")} data-label="{name}"><span>{cells[name]}</span></td>' for name in heads]
    return f"<tr>{''.join(texts)}</tr>"


def _since(since: float | None, now: float) -> str:
    if since is None:
        return "-"
    return f'{_time(since)} <span class="ago">{ago(now - since)}</span>'


def _time(at: float) -> str:
    machine = rfc3339(at)
    return "-" if machine is None else f'<time datetime="{machine}">{utc_words(at)}</time>'


def _silent(silent: Sequence[SilentHost]) -> str:
    if not silent:
        return ""
    rows = "".join(f"<li>{escape(one.host)}: {escape(one.reason)}</li>" for one in silent)
    hosts = _number(len(silent), "host")
    return f'<div class="fault"><p>Containers of {hosts} are not known:</p><ul>{rows}</ul></div>'


def _faults(faults: Sequence[str]) -> str:
    if not faults:
        return ""
    rows = "".join(f"<li>{escape(fault)}</li>" for fault in faults)
    return f'<div class="fault"><p>Prometheus did not tell all of it:</p><ul>{rows}</ul></div>'


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _page(title: str, way: str, body: str, found: Containers, refresh: int) -> str:
    age = f'<p class="age" data-at="{rfc3339(found.at)}" data-every="{refresh}">Written {_time(found.at)} UTC.'
    data = "" if found.data_at is None else f" Its oldest data was {max(0.0, found.at - found.data_at):.0f} s old then."
    allowed = f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; base-uri 'none'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="{GENERATOR}">
<meta http-equiv="Content-Security-Policy" content="{escape(allowed)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<noscript><meta http-equiv="refresh" content="{refresh}"></noscript>
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>{way}<h1>{escape(title)}</h1>
{age}{data}<output></output></p>
</header>
<main>{body}</main>
<footer>All times are UTC. hostwatch {escape(__version__)}</footer>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
