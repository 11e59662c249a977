"""Containers of all hosts, as Prometheus knows them: one query for each column."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from exporter.clients.prometheus import Sample
from exporter.fleet.asking import Asker, ask_all
from exporter.fleet.host_keys import Key, key_of, label_names
from exporter.fleet.host_queries import quoted
from exporter.fleet.model import Progress, SourceError, unseen

NO_ENVIRONMENT: Final = "(none)"
_ENDED: Final = frozenset({"exited", "dead"})
# the labels of host_container_state that are not its target's
_OWN_LABELS: Final = ("name", "image", "state")


class Container(NamedTuple):
    """One container, in whatever state."""

    environment: str
    host: str
    name: str
    state: str
    image: str
    """Without its version."""
    version: str | None
    since: float | None
    """When it came into its state, seconds since the epoch: started, finished or created."""
    exit_code: int | None = None
    """Of one that has ended."""
    health: str | None = None
    """Of a running one with a health check: starting, healthy, unhealthy."""

    @property
    def has_ended(self) -> bool:
        """Whether it has, well or not."""
        return self.state in _ENDED

    @property
    def has_failed(self) -> bool:
        """Whether it ended badly, or nobody knows how."""
        return self.has_ended and self.exit_code != 0

    @property
    def trouble(self) -> int:
        """How soon somebody should look, 0 first: failed, dead or restarting or unhealthy, ended well, the others."""
        if self.has_failed:
            return 0
        if self.state == "restarting" or self.health == "unhealthy":
            return 1
        return 2 if self.has_ended else 3

    @property
    def words(self) -> str:
        """The state as people read it: `exited (137)`, `running (unhealthy)`."""
        more = self.exit_code if self.has_ended else self.health
        return self.state if more is None else f"{self.state} ({more})"


class SilentHost(NamedTuple):
    """A host whose containers nobody can tell now."""

    environment: str
    host: str
    reason: str


class Containers(NamedTuple):
    """All that Prometheus told at one time."""

    containers: tuple[Container, ...]
    """Those that have ended first, failed ones before others and the newest of them first; then by what is wrong."""
    silent: tuple[SilentHost, ...]
    hosts: Mapping[str, frozenset[str]]
    """Hosts by environment, those with containers."""
    at: float
    """When Prometheus was asked, seconds since the epoch."""
    data_at: float | None
    """When the oldest of the hosts' last answers was scraped; None where that is not known."""
    faults: tuple[str, ...] = ()
    """What could not be learned: a line each, for people."""


def queries(job: str) -> dict[str, str]:
    """Return the query of every column by its name."""
    by = f"job={quoted(job)}"
    own = ", ".join(_OWN_LABELS)
    count = f"count without ({own})"
    running = f'host_container_state{{{by},state="running"}}'
    return {
        "state": f"host_container_state{{{by}}} == 1",
        "info": f"host_container_info{{{by}}}",
        "health": f"host_container_health{{{by}}} == 1",
        "exit_code": f"host_container_exit_code{{{by}}}",
        "created": f"host_container_created_timestamp_seconds{{{by}}}",
        "started": f"host_container_started_timestamp_seconds{{{by}}}",
        "finished": f"host_container_finished_timestamp_seconds{{{by}}}",
        # hosts that do not answer, and those that had containers within the hour and tell of none now
        "down": f"up{{{by}}} == 0",
        "silent": f"{count} (present_over_time({running}[1h])) unless {count} ({running})",
        "scraped": f"max without ({own}) (timestamp({running}))",
    }


def fetch_containers(asker: Asker, job: str = "node", progress: Progress = unseen) -> Containers:
    """Return all containers of a job's hosts. A query that fails costs its column, and is told among the faults.

    Blocks, a query's time for each of ten at most. Raises SourceError when the containers' states cannot be learned.
    """
    answers = ask_all(asker, queries(job), progress)
    if "state" in answers.faults:
        raise SourceError(f"Prometheus {asker.url}: {answers.faults['state']}")
    return assemble(answers.samples, time.time(), tuple(f"{column}: {why}" for column, why in answers.faults.items()))


def assemble(answers: Mapping[str, Sequence[Sample]], at: float, faults: tuple[str, ...] = ()) -> Containers:
    """Return what the answers to `queries` say, asked at a moment."""
    # the other columns have labels of their own, too: info has those that the settings want of containers
    target = label_names(answers["state"], without=_OWN_LABELS)
    names = (*target, "name")
    versions = {key_of(sample.labels, names): sample.labels.get("version") for sample in answers["info"]}
    healths = {key_of(sample.labels, names): sample.labels.get("status") for sample in answers["health"]}
    numbers = {name: _numbers(answers[name], names) for name in ("exit_code", "created", "started", "finished")}
    found = []
    hosts: dict[str, set[str]] = {}
    for sample in answers["state"]:
        key, labels = key_of(sample.labels, names), sample.labels
        state = labels.get("state", "")
        code = numbers["exit_code"].get(key)
        environment, host = _place(sample)
        hosts.setdefault(environment, set()).add(host)
        since = numbers["finished" if state in _ENDED else "created" if state == "created" else "started"].get(key)
        found.append(
            Container(
                environment, host, labels.get("name", ""), state, labels.get("image", ""), versions.get(key), since,
                None if code is None or state not in _ENDED else int(code), healths.get(key),
            )
        )  # fmt: skip
    scraped = [sample.number for sample in answers["scraped"]]
    return Containers(
        tuple(sorted(found, key=_order)),
        _silent(answers, target),
        {environment: frozenset(group) for environment, group in hosts.items()},
        at,
        min(scraped, default=None),
        faults,
    )


def _order(one: Container) -> tuple[object, ...]:
    newest_first = -(one.since or 0.0) if one.trouble < 3 else 0.0
    return not one.has_ended, one.trouble, newest_first, one.environment, one.host, one.name


def _silent(answers: Mapping[str, Sequence[Sample]], target: Sequence[str]) -> tuple[SilentHost, ...]:
    telling = {key_of(sample.labels, target) for sample in answers["state"]}
    # what fell silent may be the same host with another label: an environment has one host of a name as a rule
    places = {_place(sample) for sample in answers["state"]}
    found = {
        _place(sample): "told of containers within the last hour, and tells of none now"
        for sample in answers["silent"]
        if _place(sample) not in places
    }
    found |= {
        _place(sample): "does not answer Prometheus"
        for sample in answers["down"]
        if key_of(sample.labels, target) not in telling
    }
    return tuple(sorted(SilentHost(environment, host, why) for (environment, host), why in found.items()))


def _place(sample: Sample) -> tuple[str, str]:
    return sample.labels.get("environment") or NO_ENVIRONMENT, sample.labels.get("instance", "")


def _numbers(samples: Iterable[Sample], names: Sequence[str]) -> dict[Key, float]:
    """Return values by host and container; NaN is none."""
    return {key_of(sample.labels, names): sample.number for sample in samples if math.isfinite(sample.number)}
