"""Checks on timers of their own. PROBES is the one table; a new kind is a file, settings and a row here.

The module of a kind is imported when a setting asks for it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from exporter.collector import Collector
from exporter.probes.check import Check
from exporter.settings.checks import (
    DnsSettings,
    HttpSettings,
    ProcessSettings,
    TcpSettings,
    TlsSettings,
    UnitSettings,
)
from exporter.settings.probes import Probes as ProbeSettings

if TYPE_CHECKING:
    from exporter.probes.engine import State
    from exporter.probes.pinger import Pinger
    from exporter.probes.services_api import ServicesApis
    from exporter.settings.processes import Match

CountProcesses = Callable[["Match"], int | None]
"""Returns how many processes match, None while nobody knows."""

PREFIXES: Final = ("host_ping_", "host_service_", "host_api_")
"""How the names of all families of probes begin: nobody else may use such a name."""


class Parts(NamedTuple):
    """What checks are made of, beside their settings."""

    count_processes: CountProcesses = lambda _: None


class Row(NamedTuple):
    """One kind of check: its key in the settings and its label, its settings, and how it is made of them."""

    kind: str
    settings: type
    make: Callable[..., Check]


def _http(settings: HttpSettings, _: Parts) -> Check:
    from exporter.probes.http import HttpCheck  # noqa: PLC0415 -- only where a setting asks for it

    return HttpCheck(settings)


def _tcp(settings: TcpSettings, _: Parts) -> Check:
    from exporter.probes.tcp import TcpCheck  # noqa: PLC0415 -- only where a setting asks for it

    return TcpCheck(settings)


def _tls(settings: TlsSettings, _: Parts) -> Check:
    from exporter.probes.tls import TlsCheck  # noqa: PLC0415 -- OpenSSL, only where a setting asks for it

    return TlsCheck(settings)


def _dns(settings: DnsSettings, _: Parts) -> Check:
    from exporter.probes.dns import DnsCheck  # noqa: PLC0415 -- only where a setting asks for it

    return DnsCheck(settings)


def _unit(settings: UnitSettings, _: Parts) -> Check:
    from exporter.probes.unit import UnitCheck  # noqa: PLC0415 -- only where a setting asks for it

    return UnitCheck(settings)


def _process(settings: ProcessSettings, parts: Parts) -> Check:
    from exporter.probes.process import ProcessCheck  # noqa: PLC0415 -- only where a setting asks for it

    return ProcessCheck(settings, parts.count_processes)


PROBES: Final = (
    Row("http", HttpSettings, _http),
    Row("tcp", TcpSettings, _tcp),
    Row("tls", TlsSettings, _tls),
    Row("dns", DnsSettings, _dns),
    Row("unit", UnitSettings, _unit),
    Row("process", ProcessSettings, _process),
)


def make_checks(settings: ProbeSettings, parts: Parts) -> Iterator[Check]:
    """Yield the checks that the settings ask for."""
    for row in PROBES:
        for check in getattr(settings, row.kind):
            yield row.make(check, parts)


class _Running(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


def _make_ping(settings: ProbeSettings) -> "tuple[Pinger, Collector]":
    from exporter.probes.ping import Ping  # noqa: PLC0415 -- only where it is not switched off
    from exporter.probes.pinger import Pinger  # noqa: PLC0415 -- likewise
    from exporter.probes.wire import Wire  # noqa: PLC0415 -- likewise

    pinger = Pinger(settings.ping, Wire(settings.ping.payload_bytes, settings.ping.timeout))
    return pinger, Ping(pinger)


def _make_apis(settings: ProbeSettings) -> "ServicesApis":
    from exporter.probes.services_api import ServicesApis  # noqa: PLC0415 -- only where a setting asks for it

    return ServicesApis(settings.services_api)


class Probes:
    """All probes of one version of the settings; to be started and stopped on the loop that they run on."""

    def __init__(self, settings: ProbeSettings, parts: Parts = Parts()) -> None:  # noqa: B008 -- it never changes
        collectors: list[Collector] = []
        self._pinger: Pinger | None = None
        self._states: tuple[State, ...] = ()
        self._running: list[_Running] = []
        if settings.ping.enabled and settings.ping.targets:
            self._pinger, collector = _make_ping(settings)
            self._running.append(self._pinger)
            collectors.append(collector)
        if checks := list(make_checks(settings, parts)):
            from exporter.probes.engine import Engine  # noqa: PLC0415 -- only where there is a check
            from exporter.probes.services import Services  # noqa: PLC0415 -- likewise

            engine = Engine(checks)
            self._states = engine.states
            self._running.append(engine)
            collectors.append(Services(engine.states))
        self._apis: ServicesApis | None = None
        if settings.services_api:
            self._apis = _make_apis(settings)
            self._running.append(self._apis)
            collectors.append(self._apis)
        self.collectors: tuple[Collector, ...] = tuple(collectors)
        """What shows their results: ping, services and services_api, where the settings ask for them."""

    def start(self) -> None:
        """Begin on the running loop."""
        for running in self._running:
            running.start()

    def stop(self) -> None:
        """End; what is under way counts for nothing."""
        for running in self._running:
            running.stop()

    @property
    def untried(self) -> int:
        """How many targets, checks and APIs have no result yet."""
        targets = self._pinger.targets if self._pinger is not None else ()
        apis = self._apis.apis if self._apis is not None else ()
        waiting = [target.last_attempt for target in targets] + [state.last_attempt for state in self._states]
        return [*waiting, *(api.last_attempt for api in apis)].count(None)

    def readings(self) -> Mapping[tuple[str, ...], float]:
        """Return what history keeps, as it is now; may be called on any thread.

        ("latency", target) in seconds and ("loss", target), 0 to 1, of the last round; ("service", kind, check): 1 or
        0, missing where it could not be asked.
        """
        out: dict[tuple[str, ...], float] = {}
        for target in self._pinger.targets if self._pinger is not None else ():
            last = target.last
            if last is not None and last.latency is not None:
                out["latency", target.name] = last.latency
            if last is not None and last.loss is not None:
                out["loss", target.name] = last.loss
        for state in self._states:
            up = state.up
            if up is not None:
                out["service", state.check.kind, state.check.name] = float(up)
        return out
