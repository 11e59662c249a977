"""Grafana: whether it runs, and its data source reaches Prometheus."""

from typing import Final

import msgspec

from exporter.clients.http_get import GetError
from exporter.doctor.finding import Finding, Found, Notes
from exporter.doctor.place import Place, is_absent

_NOTE: Final = Notes("grafana")
DATA_SOURCE: Final = "hostwatch-prometheus"
"""The uid of the provisioned data source (grafana/provisioning/datasources)."""


class _Health(msgspec.Struct):
    database: str = ""
    status: str = ""
    message: str = ""


def examine(place: Place) -> Found:
    """Ask for its health, and for its data source's where a name and password were given."""
    try:
        health = _asked(place, "/api/health")
    except GetError as err:
        yield _unreachable(place, err)
        return
    if health.database != "ok":
        yield _NOTE.problem("health", f"{place.url}: its database is {health.database!r}", "see Grafana's log")
        return
    yield _NOTE.ok("reachable", place.url)
    if place.access.password is None:
        fix = "--grafana-password-file FILE (user admin)"
        yield _NOTE.skipped("datasource", "its data source can be seen with a password only", fix)
        return
    yield from _data_source(place)


def _data_source(place: Place) -> Found:
    try:
        health = _asked(place, f"/api/datasources/uid/{DATA_SOURCE}/health")
    except GetError as err:
        fix = "provision grafana/provisioning/datasources, whose uid the dashboards name"
        yield _NOTE.problem("datasource", f"the data source {DATA_SOURCE!r}: {err}", fix)
        return
    if health.status.upper() == "OK":
        yield _NOTE.ok("datasource", f"the data source {DATA_SOURCE!r} answers")
    else:
        fix = "its URL must reach Prometheus from where Grafana runs (in Compose: http://prometheus:9090)"
        yield _NOTE.problem("datasource", f"the data source {DATA_SOURCE!r}: {health.message or health.status}", fix)


def _unreachable(place: Place, err: GetError) -> Finding:
    if is_absent(err) and not place.given:
        return _NOTE.skipped("reachable", f"nothing listens at {place.url}", "--grafana URL, where it is elsewhere")
    return _NOTE.problem("reachable", f"{place.url}: {err}", "is it running, and the address right?")


def _asked(place: Place, path: str) -> _Health:
    answer = place.get(path)
    if answer.status in {401, 403}:
        raise GetError("the name or password is not taken")
    if answer.status == 404:
        raise GetError("there is none of that uid")
    try:
        # an unhealthy one is told with status 400 or 500, and a message
        return msgspec.json.decode(answer.body, type=_Health)
    except msgspec.DecodeError as err:
        raise GetError(f"HTTP status {answer.status}, not Grafana's answer") from err
