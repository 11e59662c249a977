"""The pipeline that a drill watches: where its parts are, which of its times count, and what they say at a moment."""

import os
import time
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import yaml

from exporter.clients import alertmanager, prometheus
from exporter.clients.http_get import Access, GetError, get
from exporter.clients.own_address import is_loopback, is_ours
from exporter.drills import budget, routes
from exporter.drills.durations import seconds_of

ASK_SECONDS: Final = 5.0
_MESSAGES: Final = 500
_ANSWER_BYTES: Final = 64 * 1024 * 1024
_ACCESS: Final = Access()

T = TypeVar("T")


class SiteError(Exception):
    """A part of the pipeline does not answer as it should; the text names it and the option that points elsewhere."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the user said of the pipeline and of the drills."""

    prometheus: str = "http://127.0.0.1:9090"
    alertmanager: str = "http://127.0.0.1:9093"
    relay: str = "http://127.0.0.1:10102"
    targets: Path | None = None
    """A folder with one per job, in place of where Prometheus' configuration says that target files are."""
    address: str = "127.0.0.1"
    """Where Prometheus reaches what the drill starts."""
    state: Path = Path("/var/lib/hostwatch/drills")
    docker: str = "/var/run/docker.sock"
    allow_remote_observe: bool = False
    ignored_alerts: tuple[str, ...] = ()
    """Alerts that may fire while a drill runs."""
    max_load: float = 8.0
    """Tasks per core that may be running or waiting before a drill begins."""
    gentle: bool = False
    """Lower the threshold of the drill's own instance in place of a fault as large as the real one."""

    def at(self, port: int) -> str:
        """Return where Prometheus reaches a port of what the drill starts: ADDRESS:PORT, IPv6 in brackets."""
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"


class RelayAlert(msgspec.Struct, frozen=True):
    """An alert of a message."""

    status: str
    labels: Mapping[str, str]
    starts_at: str = ""
    """When it began to fire in Prometheus."""


class RelayMessage(msgspec.Struct, frozen=True):
    """A message as the relay's API shows it; moments as RFC 3339."""

    status: str
    alerts: tuple[RelayAlert, ...]
    received_first: str
    received: str
    delivered: bool
    text: str = ""


class _Messages(msgspec.Struct):
    messages: tuple[RelayMessage, ...]


class _RelayStatus(msgspec.Struct):
    mode: str
    version: str = ""


class View(msgspec.Struct, frozen=True):
    """What everybody says at one moment (seconds since the epoch)."""

    at: float
    alerts: tuple[prometheus.Alert, ...]
    messages: tuple[RelayMessage, ...]


class Site(msgspec.Struct, frozen=True):
    """The pipeline as it is set up."""

    options: Options
    mode: str
    """How the relay works: slack or preview."""
    rules: Mapping[str, prometheus.Rule]
    intervals: Mapping[str, float]
    """Seconds between two evaluations, by alert."""
    records: Mapping[str, str]
    scrape: Mapping[str, float]
    """Seconds between two scrapes, by job."""
    folders: Mapping[str, str]
    """Where a file makes Prometheus scrape something else, by job: a path with a star."""
    configuration: str
    """Alertmanager's."""
    local_instances: tuple[str, ...]
    """What Prometheus calls this machine's exporter."""
    prometheus_instances: tuple[str, ...]
    """What Prometheus calls itself."""
    labels: tuple[Mapping[str, str], ...]
    """Labels of this machine's targets, and those that Prometheus gives to all that it tells others."""

    def budget(self, alert: str, labels: Mapping[str, str], job: str, lag: float) -> budget.Budget:
        """Return how long each hop of an alert may take.

        Raises SiteError for a rule that is not there, and for routes that cannot be read.
        """
        rule = self.rule(alert)
        try:
            timing = routes.timing_of(self.configuration, {"alertname": alert, **rule.labels, **labels})
        except routes.RouteError as err:
            raise SiteError(f"Alertmanager at {self.options.alertmanager}: {err}") from err
        windows = budget.windows_of(rule.query, self.records)
        scrape, evaluation = self.scrape.get(job, 60.0), self.intervals[alert]
        return budget.make_budget(rule, windows, timing, scrape=scrape, evaluation=evaluation, lag=lag)

    def rule(self, alert: str) -> prometheus.Rule:
        """Return a rule. Raises SiteError for one that Prometheus does not have."""
        if alert not in self.rules:
            raise SiteError(f"{self.options.prometheus} has no alert {alert}: are the rules loaded?")
        return self.rules[alert]

    def target_file(self, job: str, name: str) -> Path:
        """Return the file that makes Prometheus scrape something for a job. Raises SiteError for no such place."""
        if self.options.targets is not None:
            folder = self.options.targets / job
            if not os.access(folder, os.W_OK):
                raise SiteError(
                    f"{folder}: {'not writable' if folder.is_dir() else 'no such folder'}; --targets says where"
                )
            return folder / f"{name}.yml"
        if job not in self.folders:
            raise SiteError(
                f"job {job} of {self.options.prometheus} reads no target files (file_sd_configs), or they are not on "
                f"this machine; say where with --targets"
            )
        return Path(self.folders[job].replace("*", name))


def look(options: Options) -> Site:
    """Return the pipeline. Blocks for some seconds at most; raises SiteError naming what does not answer."""
    groups = _ask("Prometheus", options.prometheus, "--prometheus", prometheus.fetch_rules)
    config = yaml.safe_load(_ask("Prometheus", options.prometheus, "--prometheus", prometheus.fetch_config))
    targets = _ask("Prometheus", options.prometheus, "--prometheus", prometheus.fetch_targets)
    status = _ask("Alertmanager", options.alertmanager, "--alertmanager", alertmanager.fetch_status)
    relay = _relay(options, "status", _RelayStatus)
    alerting = [(group, rule) for group in groups for rule in group.rules if rule.type == "alerting"]
    real = [one for one in targets if "drill" not in one.labels]
    mine = [one for one in real if one.labels.get("job") == "node" and _is_this_machine(one, options)]
    itself = [one for one in real if one.labels.get("job") == "prometheus"]
    return Site(
        options=options,
        mode=relay.mode,
        rules={rule.name: rule for _, rule in alerting},
        intervals={rule.name: group.interval for group, rule in alerting},
        records=budget.records_of(groups),
        scrape=_scrapes(config),
        folders=_folders(config),
        configuration=status.configuration,
        local_instances=tuple(sorted({one.labels.get("instance", "") for one in mine})),
        prometheus_instances=tuple(sorted({one.labels.get("instance", "") for one in itself})),
        labels=(*(one.labels for one in mine), _external_labels(config)),
    )


def see(options: Options) -> View:
    """Return what is pending, firing and told now. Blocks for some seconds at most; raises SiteError."""
    alerts = _ask("Prometheus", options.prometheus, "--prometheus", prometheus.fetch_alerts)
    found = _relay(options, f"messages?limit={_MESSAGES}", _Messages)
    return View(time.time(), alerts, found.messages)


def holds(options: Options, query: str) -> bool:
    """Whether an instant query has any answer. Blocks for some seconds at most; raises SiteError."""
    deadline = time.monotonic() + ASK_SECONDS
    try:
        return bool(prometheus.fetch_vector(options.prometheus, query, deadline, _ACCESS))
    except GetError as err:
        raise SiteError(f"Prometheus at {options.prometheus}: {query}: {err}") from err


def value(options: Options, query: str) -> float | None:
    """Return the first value of an instant query. Blocks for some seconds at most; raises SiteError."""
    deadline = time.monotonic() + ASK_SECONDS
    try:
        found = prometheus.fetch_vector(options.prometheus, query, deadline, _ACCESS)
    except GetError as err:
        raise SiteError(f"Prometheus at {options.prometheus}: {query}: {err}") from err
    return found[0].number if found else None


def is_local(url: str) -> bool:
    """Whether an address is this machine's; no name server is asked."""
    return is_ours(_host(url))


def _is_this_machine(target: prometheus.Target, options: Options) -> bool:
    """Whether a target is ours. A loopback address is that of the Prometheus which scrapes it."""
    host = _host(target.scrape_url)
    return is_ours(host) and (not is_loopback(host) or is_local(options.prometheus))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # brackets that hold no address
        return ""


def _ask(name: str, url: str, option: str, fetch: Any) -> Any:  # noqa: ANN401 -- whatever fetch returns
    try:
        return fetch(url, time.monotonic() + ASK_SECONDS, _ACCESS)
    except GetError as err:
        raise SiteError(f"{name} at {url}: {err}; {option} says where it is") from err


def _relay(options: Options, path: str, kind: type[T]) -> T:
    url = f"{options.relay.rstrip('/')}/api/v1/{path}"
    try:
        answer = get(url, time.monotonic() + ASK_SECONDS, _ANSWER_BYTES)
        if answer.status == 200:
            return msgspec.json.decode(answer.body, type=kind)
    except (GetError, msgspec.DecodeError) as err:
        raise SiteError(f"relay at {options.relay}: {err}; --relay says where it is") from err
    raise SiteError(f"relay at {options.relay}: HTTP status {answer.status}; --relay says where it is")


def _external_labels(config: Mapping[str, Any]) -> dict[str, str]:
    found = (config.get("global") or {}).get("external_labels") or {}
    return {str(name): str(value) for name, value in found.items()}


def _scrapes(config: Mapping[str, Any]) -> dict[str, float]:
    usual = str((config.get("global") or {}).get("scrape_interval", "1m"))
    jobs: Sequence[Mapping[str, Any]] = config.get("scrape_configs") or ()
    return {str(job["job_name"]): seconds_of(str(job.get("scrape_interval", usual))) for job in jobs}


def _folders(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a writable pattern of each job's target files, where one is on this machine."""
    out = {}
    for job in config.get("scrape_configs") or ():
        for source in job.get("file_sd_configs") or ():
            for pattern in source.get("files") or ():
                folder, name = os.path.split(pattern)
                plain = not has_magic(folder) and name.count("*") == 1 and not set("?[") & set(name)
                if plain and os.access(folder, os.W_OK):
                    out[str(job["job_name"])] = pattern
    return out
