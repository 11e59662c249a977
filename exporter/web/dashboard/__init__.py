"""The page for people: one document, one style sheet, scripts, all of them ours and from here."""

from functools import lru_cache
from pathlib import Path
from typing import Final

from exporter.server.http import Reply, Request, Response

# nothing from elsewhere, and nothing that stands inside the document itself; connections to ourselves alone
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    f"Content-Security-Policy: {_POLICY}",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cache-Control: no-cache",
)
FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/dashboard/style.css": ("style.css", "text/css; charset=utf-8"),
    "/dashboard/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/dashboard/charts.js": ("charts.js", "text/javascript; charset=utf-8"),
    "/dashboard/tables.js": ("tables.js", "text/javascript; charset=utf-8"),
    "/dashboard/format.js": ("format.js", "text/javascript; charset=utf-8"),
    "/dashboard/icon.svg": ("icon.svg", "image/svg+xml"),
}


@lru_cache(maxsize=len(FILES))
def _file(path: str) -> Response:
    """Return a file that stands beside this module; read once."""
    name, kind = FILES[path]
    return Response(200, Path(__file__).with_name(name).read_bytes(), kind, _HEADERS)


def serve(request: Request, reply: Reply) -> None:
    """Answer with the page or one of its parts."""
    if request.path not in FILES:
        reply(Response(404, f"404: nothing at {request.path[:200]}; there is {' '.join(FILES)}\n".encode()))
    elif request.method not in {"GET", "HEAD"}:
        reply(Response(405, b"405: only GET and HEAD\n", headers=("Allow: GET, HEAD",)))
    else:
        reply(_file(request.path))
