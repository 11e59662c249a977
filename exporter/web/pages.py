"""The pages of the exporter: where one lands, and whether it is well."""

from exporter import __version__
from exporter.server.http import Reply, Request, Response

_LANDING = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hostwatch exporter</title>
<style>
:root {{ color-scheme: light dark; --line: #8886; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; margin-bottom: 0; }}
table {{ border-collapse: collapse; width: 100%; }}
td {{ border-top: 1px solid var(--line); padding: .4rem .8rem .4rem 0; vertical-align: top; }}
code {{ font-size: .95em; }}
</style>
</head>
<body>
<h1>hostwatch exporter</h1>
<p>Version {version}. Metrics of this machine for Prometheus.</p>
<table>
<tr><td><a href="/metrics">/metrics</a></td><td>every metric, as text; <code>?collect[]=cpu</code> narrows it</td></tr>
<tr><td><a href="/api/v1/evidence">/api/v1/evidence</a></td>
<td>what happened and who used most, as JSON; <code>?at=TIME</code> looks back, an hour at most</td></tr>
<tr><td><a href="/api/v1/openapi.json">/api/v1/openapi.json</a></td><td>the rest of the REST API, described</td></tr>
<tr><td><a href="/-/healthy">/-/healthy</a></td><td>200 while the process answers</td></tr>
<tr><td><a href="/-/ready">/-/ready</a></td><td>200 once it can be scraped</td></tr>
</table>
<p>Collectors: {collectors}</p>
</body>
</html>
"""
_SAFETY = (
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options: nosniff",
)


def landing(collectors: tuple[str, ...]) -> Response:
    """Return the page of links: what this is, its version, where the rest is."""
    links = ", ".join(f'<a href="/metrics?collect[]={name}">{name}</a>' for name in collectors)
    page = _LANDING.format(version=__version__, collectors=links)
    return Response(200, page.encode(), "text/html; charset=utf-8", _SAFETY)


def healthy(request: Request, reply: Reply) -> None:  # noqa: ARG001 -- a handler's signature
    """Answer that the process lives."""
    reply(Response(200, b"healthy\n"))


def ready(request: Request, reply: Reply) -> None:  # noqa: ARG001 -- a handler's signature
    """Answer that scrapes are answered: it listens only once everything is made."""
    reply(Response(200, b"ready\n"))
