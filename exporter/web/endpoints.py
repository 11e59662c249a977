"""The endpoints of the REST API: a row for each in ENDPOINTS, a function that makes its answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from exporter.history import KEPT_SECONDS, MAX_COLUMNS, Key
from exporter.web.answers import devices, machine, past, watched
from exporter.web.answers import health as healths
from exporter.web.answers import processes as tops
from exporter.web.evidence import CONTAINERS_SECONDS, Evidence, evidence_of
from exporter.web.rows import Rows
from exporter.web.sources import Sources
from exporter.web.times import EXPECTED, parse_time, rfc3339

MAX_LIMIT: Final = 1000


class ApiError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, headers: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


Parameters = Mapping[str, str]
Endpoint = Callable[[Sources, Parameters, Rows], msgspec.Struct]
"""Returns what becomes the answer, from parameters that are known and stand there once. Raises ApiError."""


class Parameter(NamedTuple):
    """A parameter of an endpoint, as the document tells of it."""

    code: str
    """The code of the error where it is bad."""
    description: str
    schema: Mapping[str, object]
    example: object


class Row(NamedTuple):
    """One endpoint."""

    endpoint: Endpoint
    answer: type[msgspec.Struct]
    summary: str
    collectors: Sequence[str] | None = ()
    """Whose rows it is made of; None for all."""
    parameters: Mapping[str, Parameter] = {}
    codes: Mapping[int, str] = {}
    """Errors that are its own, beside those of parameters: status and code."""


def evidence(sources: Sources, parameters: Parameters, _: Rows) -> Evidence:
    """Tell what the machine did at a moment, and who used most; without `at` now."""
    now = sources.history.now()
    at = _time("at", "bad_time", parameters, now)
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


def cpu(sources: Sources, _: Parameters, rows: Rows) -> machine.Cpu:
    """Tell what the processors do."""
    return machine.cpu(rows, sources.history.usage())


def memory(sources: Sources, _: Parameters, rows: Rows) -> machine.Memory:
    """Tell what memory is used for."""
    return machine.memory(rows, sources.history.usage())


def disks(sources: Sources, _: Parameters, rows: Rows) -> devices.Disks:
    """Tell of file systems and disks."""
    return devices.disks(rows, sources.history.usage(), newest(sources))


def network(sources: Sources, _: Parameters, rows: Rows) -> devices.Network:
    """Tell of network interfaces."""
    return devices.network(rows, newest(sources))


def newest(sources: Sources) -> Mapping[Key, float]:
    """Return what the newest sample holds, nothing where none counts for now."""
    moment = sources.history.at(sources.history.now())
    return {} if moment is None else moment.values


def latency(_: Sources, __: Parameters, rows: Rows) -> watched.Latency:
    """Tell of the hosts that are pinged."""
    return watched.latency(rows)


def services(_: Sources, __: Parameters, rows: Rows) -> watched.Services:
    """Tell of the checks."""
    return watched.services(rows)


def containers(sources: Sources, _: Parameters, rows: Rows) -> watched.Containers:
    """Tell of the containers."""
    history = sources.history
    now = history.since_boot(history.now())
    found = history.tops.containers_at(now - CONTAINERS_SECONDS, now + history.interval)
    return watched.containers(rows, found)


def processes(sources: Sources, parameters: Parameters, _: Rows) -> tops.Processes:
    """Tell which process names use most."""
    order = parameters.get("sort", "cpu")
    if order not in tops.ORDERS:
        raise ApiError(400, "bad_sort", f"sort: expected one of {', '.join(tops.ORDERS)}, got {order[:40]!r}")
    return tops.processes(sources.history, order, _whole("limit", "bad_limit", parameters, 100, (1, MAX_LIMIT)))


def history(sources: Sources, parameters: Parameters, _: Rows) -> past.Past:
    """Tell what was in the last hour, as curves."""
    now = sources.history.now()
    end = _time("end", "bad_time", parameters, now)
    start = _time("start", "bad_time", parameters, max(end - KEPT_SECONDS, 0.0))
    if not start < end:
        raise ApiError(400, "bad_time", f"start: expected a moment before the end, {rfc3339(end)}")
    # what is older or to come is not there, and would only make the steps longer
    start, end = max(start, now - KEPT_SECONDS - 60), min(end, now + 60)
    if not start < end:
        return past.Past(end, end, sources.history.interval, [])
    step = None
    if "step_seconds" in parameters:
        step = _number("step_seconds", "bad_step", parameters, 0.0, (1, KEPT_SECONDS))
    skip = _whole("skip", "bad_skip", parameters, 0, (0, MAX_COLUMNS)) if "skip" in parameters else None
    names = set(parameters["name"].split(",")) if "name" in parameters else set(past.NAMES)
    if unknown := names.difference(past.NAMES):
        given = min(unknown)[:40]
        raise ApiError(400, "bad_name", f"name: expected some of {','.join(past.NAMES)}, got {given!r}")
    try:
        return past.past(sources.history, past.Wish(names, start, end, step, skip))
    except past.TooMuchError as err:
        raise ApiError(400, "bad_step" if str(err).startswith("step") else "bad_name", str(err)) from err


def health(sources: Sources, _: Parameters, rows: Rows) -> healths.Health:
    """Tell whether the exporter is well."""
    return healths.health(rows, sources.history, is_sampled=sources.is_sampled)


def _time(name: str, code: str, parameters: Parameters, otherwise: float) -> float:
    try:
        return parse_time(parameters[name]) if name in parameters else otherwise
    except ValueError as err:
        raise ApiError(400, code, f"{name}: {err}") from err


def _number(name: str, code: str, parameters: Parameters, otherwise: float, between: tuple[int, int]) -> float:
    if name not in parameters:
        return otherwise
    text = parameters[name]
    plain = text.isascii() and len(text) <= 20 and text.replace(".", "", 1).isdigit()
    value = float(text) if plain else -1.0
    if not between[0] <= value <= between[1]:
        raise ApiError(400, code, f"{name}: expected a number from {between[0]} to {between[1]}, got {text[:40]!r}")
    return value


def _whole(name: str, code: str, parameters: Parameters, otherwise: int, between: tuple[int, int]) -> int:
    value = _number(name, code, parameters, float(otherwise), between)
    if value != int(value):
        raise ApiError(400, code, f"{name}: expected a whole number, got {parameters[name][:40]!r}")
    return int(value)


_MOMENT: Final[Mapping[str, object]] = {"type": "string", "description": EXPECTED}
_AT: Final = "2026-11-21T03:00:00Z"
_SPAN: Final = {
    "start": Parameter("bad_time", "The beginning; an hour before the end without it.", _MOMENT, _AT),
    "end": Parameter("bad_time", "The end; now without it.", _MOMENT, _AT),
    "step_seconds": Parameter(
        "bad_step",
        f"Seconds that one point stands for; without it as many as give {past.POINTS} points, more for many series.",
        {"type": "number", "minimum": 1, "maximum": KEPT_SECONDS},
        30,
    ),
    "name": Parameter(
        "bad_name",
        "Only curves of these names, with commas between; all without it.",
        {"type": "string", "pattern": f"^({'|'.join(past.NAMES)})(,({'|'.join(past.NAMES)}))*$"},
        "cpu_usage_ratio,memory_usage_ratio",
    ),
    "skip": Parameter(
        "bad_skip",
        f"Tell {past.MAX_SERIES} series at a time, but so many: 0, then next_skip of the answer while it has one. "
        "Without it more are an error.",
        {"type": "integer", "minimum": 0, "maximum": MAX_COLUMNS},
        0,
    ),
}
_MOST: Final = {
    "sort": Parameter(
        "bad_sort", "What to sort by, most first.", {"type": "string", "enum": [*tops.ORDERS], "default": "cpu"}, "cpu"
    ),
    "limit": Parameter(
        "bad_limit",
        "Names at most.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100},
        10,
    ),
}
_WHEN: Final = {"at": Parameter("bad_time", "The moment; now without it.", _MOMENT, _AT)}

V1: Final = "/api/v1"
ENDPOINTS: Final = {
    f"{V1}/cpu": Row(cpu, machine.Cpu, "What the processors do", machine.CPU_FROM),
    f"{V1}/memory": Row(memory, machine.Memory, "What memory is used for", machine.MEMORY_FROM),
    f"{V1}/disks": Row(disks, devices.Disks, "File systems and disks", devices.DISKS_FROM),
    f"{V1}/network": Row(network, devices.Network, "Network interfaces", devices.NETWORK_FROM),
    f"{V1}/latency": Row(latency, watched.Latency, "Hosts that are pinged", watched.LATENCY_FROM),
    f"{V1}/services": Row(services, watched.Services, "Checks of services", watched.SERVICES_FROM),
    f"{V1}/containers": Row(containers, watched.Containers, "Containers in every state", watched.CONTAINERS_FROM),
    f"{V1}/processes": Row(processes, tops.Processes, "Process names that use most", parameters=_MOST),
    f"{V1}/history": Row(history, past.Past, "The last hour, as curves", parameters=_SPAN),
    f"{V1}/evidence": Row(
        evidence, Evidence, "What happened at a moment, and who used most", parameters=_WHEN, codes={404: "no_sample"}
    ),
    f"{V1}/health": Row(health, healths.Health, "Whether the exporter is well", None),
}
