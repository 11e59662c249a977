"""The REST API: what stands below /api. Every answer, errors too, is JSON; what is made of metrics is read anew."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

import msgspec

from exporter.logs import Log
from exporter.server.http import Reply, Request, Response
from exporter.web.endpoints import ENDPOINTS, V1, ApiError, Parameter, Parameters
from exporter.web.rows import Rows
from exporter.web.sources import Sources

log = Log(__name__)

PREFIX: Final = "/api"
DOCUMENT: Final = f"{V1}/openapi.json"
JSON: Final = "application/json"
_HEADERS: Final = ("Cache-Control: no-store", "X-Content-Type-Options: nosniff")


class ErrorBody(msgspec.Struct, frozen=True):
    """What was wrong: a code for programs, a sentence for people."""

    code: str
    message: str


class Failure(msgspec.Struct, frozen=True):
    """An answer that is an error."""

    error: ErrorBody


class Api:
    """The handler of all that stands below /api."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._encoder = msgspec.json.Encoder()

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer in JSON, whatever happens."""

        def answer(make: Callable[[], Response]) -> None:
            try:
                response = make()
            except ApiError as err:
                response = self._error(err)
            except Exception as err:  # noqa: BLE001 -- the boundary of a request
                log.error("request failed", method=request.method, path=request.path[:200], exc=err)
                response = self._error(ApiError(500, "internal_error", "our fault, see the log"))
            reply(response)

        try:
            self._begin(request, answer)
        except ApiError as err:
            reply(self._error(err))

    def _begin(self, request: Request, answer: Callable[[Callable[[], Response]], None]) -> None:
        """Look at the request, and have the answer made at once, or when what it is made of was read."""
        row = ENDPOINTS.get(request.path)
        if row is None and request.path != DOCUMENT:
            known = ", ".join((*ENDPOINTS, DOCUMENT))
            raise ApiError(404, "no_such_path", f"nothing at {request.path[:200]}; there is {known}")
        if request.method not in {"GET", "HEAD"}:
            raise ApiError(405, "method_not_allowed", "only GET and HEAD", ("Allow: GET, HEAD",))
        given = parse_parameters(request.query, {} if row is None else row.parameters)
        if row is None:
            answer(lambda: self._good(_document()))
            return
        make = row.endpoint
        read(self._sources, row.collectors, lambda rows: answer(lambda: self._good(make(self._sources, given, rows))))

    def _good(self, body: object) -> Response:
        return Response(200, self._encode(body), JSON, _HEADERS)

    def _error(self, err: ApiError) -> Response:
        body = self._encode(Failure(ErrorBody(err.code, err.message)))
        return Response(err.status, body, JSON, (*_HEADERS, *err.headers))

    def _encode(self, body: object) -> bytes:
        return self._encoder.encode(body) + b"\n"


def _document() -> Mapping[str, object]:
    from exporter.web.openapi import document  # noqa: PLC0415 -- for whoever asks only

    return document()


def read(sources: Sources, names: Sequence[str] | None, take: Callable[[Rows], None]) -> None:
    """Call `take` with the rows of some collectors, None for all; at once where there is nothing to read."""
    runner = sources.runner
    known = () if runner is None else runner.names
    wanted = frozenset(known if names is None else names).intersection(known)
    if runner is None or not wanted:
        take(Rows(b""))
        return
    runner.scrape(lambda page: take(Rows(page)), names=wanted, gzip=False, timeout=sources.timeout)


def parse_parameters(query: str, known: Mapping[str, Parameter]) -> Parameters:
    """Return the parameters of a query. Raises ApiError for one that is not known or stands there twice."""
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=20)
    except ValueError as err:
        raise ApiError(400, "bad_parameter", "expected at most 20 parameters") from err
    expected = ", ".join(sorted(known)) or "none"
    for name, values in fields.items():
        if name not in known:
            raise ApiError(400, "bad_parameter", f"unknown parameter {name[:40]!r}; expected {expected}")
        if len(values) > 1:
            raise ApiError(400, known[name].code, f"{name}: expected it once, got it {len(values)} times")
    return {name: values[0] for name, values in fields.items()}
