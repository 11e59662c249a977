"""/metrics: the page, narrowed by `collect[]`, gzip where the scraper takes it, within the scraper's own time."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs

from exporter.collectors.runner import Runner
from exporter.exposition import CONTENT_TYPE
from exporter.server.http import Reply, Request, Response

# what a scraper waits that sends no header: Prometheus' default scrape_timeout
DEFAULT_TIMEOUT: Final = 10.0
_GZIP_HEADERS: Final = ("Content-Encoding: gzip", "Vary: Accept-Encoding")
_PLAIN_HEADERS: Final = ("Vary: Accept-Encoding",)


class Metrics:
    """The handler of /metrics."""

    def __init__(self, runner: Runner, timeout_offset: float, few_clients: Callable[[], bool] = lambda: False) -> None:
        self._runner = runner
        self._offset = timeout_offset
        self._few_clients = few_clients
        self._last: Request | None = None
        self._wish: tuple[frozenset[str] | None, bool, float] = (None, False, DEFAULT_TIMEOUT)

    def __call__(self, request: Request, reply: Reply) -> None:
        """Scrape; 400 for a query that is not ours."""
        if request is not self._last:  # the connection hands over the same object for the same bytes
            try:
                names = wanted_collectors(request.query, self._runner.names) if request.query else None
            except ValueError as err:
                reply(Response(400, f"400: {err}\n".encode()))
                return
            gzip = accepts_gzip(request.headers.get(b"accept-encoding", b""))
            seconds = scrape_timeout(request.headers.get(b"x-prometheus-scrape-timeout-seconds", b""), self._offset)
            self._last, self._wish = request, (names, gzip, seconds)
        names, gzip, seconds = self._wish
        headers = _GZIP_HEADERS if gzip else _PLAIN_HEADERS

        def deliver(page: bytes) -> None:
            reply(Response(200, page, CONTENT_TYPE, headers))

        self._runner.scrape(deliver, names=names, gzip=gzip, timeout=seconds, now=self._few_clients())


def wanted_collectors(query: str, known: tuple[str, ...]) -> frozenset[str] | None:
    """Return the collectors named by `collect[]`, None for all. Raises ValueError naming what is not ours."""
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise ValueError("expected at most 200 collect[] parameters") from None
    names = frozenset(fields.pop("collect[]", ()))
    if fields:
        raise ValueError(f"unknown parameter {min(fields)!r}; expected collect[]")
    if unknown := names.difference(known):
        raise ValueError(f"unknown or disabled collector {min(unknown)!r}; there is {', '.join(known)}")
    return names or None


@lru_cache(maxsize=64)
def accepts_gzip(header: bytes) -> bool:
    """Whether an Accept-Encoding header takes gzip (RFC 9110, 12.5.3): named, or by `*`, with a weight over 0."""
    weights = {}
    for item in header.decode("latin-1").lower().split(","):
        coding, _, parameters = item.partition(";")
        weights[coding.strip()] = _weight(parameters)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


@lru_cache(maxsize=64)
def scrape_timeout(header: bytes, offset: float) -> float:
    """Return how many seconds a scrape may take, by the scraper's header, so that the answer arrives in its time.

    A time-out not longer than the offset keeps half of itself. A header that is no positive number counts as none.
    """
    try:
        seconds = float(header)
    except ValueError:
        seconds = DEFAULT_TIMEOUT
    if not 0 < seconds <= 3600:
        seconds = DEFAULT_TIMEOUT
    return seconds - offset if seconds > 2 * offset else seconds / 2
