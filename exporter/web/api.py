"""The REST API: what stands below /api. Each endpoint is a row of ENDPOINTS; every answer, errors too, is JSON."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs

import msgspec

from exporter.history import History
from exporter.logs import Log
from exporter.server.http import Reply, Request, Response
from exporter.web.evidence import evidence_of
from exporter.web.times import parse_time, rfc3339

log = Log(__name__)

PREFIX: Final = "/api"
JSON: Final = "application/json"
_HEADERS: Final = ("Cache-Control: no-store", "X-Content-Type-Options: nosniff")


class ApiError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, headers: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


class ErrorBody(msgspec.Struct, frozen=True):
    """What was wrong: a code for programs, a sentence for people."""

    code: str
    message: str


class Sources(NamedTuple):
    """What the endpoints tell of."""

    history: History
    is_sampled: bool
    """Whether anything is added to the history."""


Parameters = Mapping[str, str]
Endpoint = Callable[[Sources, Parameters], msgspec.Struct]
"""Returns what becomes the answer, from parameters that are known and stand there once. Raises ApiError."""


def evidence(sources: Sources, parameters: Parameters) -> msgspec.Struct:
    """Tell what the machine did at a moment, and who used most; without `at` now."""
    now = sources.history.now()
    try:
        at = parse_time(parameters["at"]) if "at" in parameters else now
    except ValueError as err:
        raise ApiError(400, "bad_time", f"at: {err}") from err
    found = evidence_of(sources.history, at)
    if found is not None:
        return found
    raise ApiError(404, "no_sample", f"nothing was kept of {rfc3339(at)}: {_why_nothing(sources, at, now)}")


def _why_nothing(sources: Sources, at: float, now: float) -> str:
    if not sources.is_sampled:
        return "collectors.usage.enabled is false, so nothing is"
    if at > now:
        return f"it is {rfc3339(now)} on this machine"
    return "one hour is, at most since the start, and none while a dead mount holds the sampler up"


class _Row(NamedTuple):
    endpoint: Endpoint
    parameters: Mapping[str, str]
    """The code of the error where one of them is bad."""


ENDPOINTS: Final = {"/api/v1/evidence": _Row(evidence, {"at": "bad_time"})}


class Api:
    """The handler of all that stands below /api."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._encoder = msgspec.json.Encoder()

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer in JSON, whatever happens."""
        try:
            body: msgspec.Struct = self._answer(request)
            response = Response(200, self._encode(body), JSON, _HEADERS)
        except ApiError as err:
            response = self._error(err)
        except Exception as err:  # noqa: BLE001 -- the boundary of a request
            log.error("request failed", method=request.method, path=request.path[:200], exc=err)
            response = self._error(ApiError(500, "internal_error", "our fault, see the log"))
        reply(response)

    def _answer(self, request: Request) -> msgspec.Struct:
        row = ENDPOINTS.get(request.path)
        if row is None:
            known = ", ".join(ENDPOINTS)
            raise ApiError(404, "no_such_path", f"nothing at {request.path[:200]}; there is {known}")
        if request.method not in {"GET", "HEAD"}:
            raise ApiError(405, "method_not_allowed", "only GET and HEAD", ("Allow: GET, HEAD",))
        return row.endpoint(self._sources, _parameters(request.query, row.parameters))

    def _error(self, err: ApiError) -> Response:
        body = self._encode({"error": ErrorBody(err.code, err.message)})
        return Response(err.status, body, JSON, (*_HEADERS, *err.headers))

    def _encode(self, body: object) -> bytes:
        return self._encoder.encode(body) + b"\n"


def _parameters(query: str, known: Mapping[str, str]) -> Parameters:
    """Return the parameters of a query. Raises ApiError for one that is not known or stands there twice."""
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=20)
    except ValueError as err:
        raise ApiError(400, "bad_parameter", "expected at most 20 parameters") from err
    expected = ", ".join(sorted(known))
    for name, values in fields.items():
        if name not in known:
            raise ApiError(400, "bad_parameter", f"unknown parameter {name[:40]!r}; expected {expected}")
        if len(values) > 1:
            raise ApiError(400, known[name], f"{name}: expected it once, got it {len(values)} times")
    return {name: values[0] for name, values in fields.items()}
