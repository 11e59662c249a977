"""The rows of containers. Imported where there is an engine only, since it brings the client."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from exporter.clients.containers import Container, Containers
from exporter.clients.docker import Inspected, parse_time
from exporter.collectors.cgroups import Groups, Usage
from exporter.collectors.container_families import (
    CPU,
    CREATED,
    EXIT_CODE,
    FINISHED,
    HEALTH,
    HEALTH_STATES,
    INFO,
    LIMIT,
    MEMORY,
    OOM_KILLED,
    OOM_KILLS,
    RESTARTS,
    STARTED,
    STATE,
    STATES,
)
from exporter.collectors.sysfs import Sample, Sheet
from exporter.exposition import Block, Family, number

MAX_LABEL: Final = 200
_HAS_GROUP: Final = frozenset({"running", "paused"})
_HAS_ENDED: Final = frozenset({"exited", "dead"})


class Reading(NamedTuple):
    """What one look gave: the page's text, and each container with its use of CPU and memory."""

    block: Block
    uses: Sequence[tuple[Container, Usage | None]]


class ContainerRows:
    """Turns the containers of one engine into rows; makes anew only what changed."""

    def __init__(self, path: str, labels_of: Mapping[str, str], groups: Groups) -> None:
        """Take the engine's socket, the names on the page of container labels, and what reads control groups."""
        self._containers = Containers(path, labels=bool(labels_of))
        self._labels_of = labels_of
        self._info = INFO._replace(labels=(*INFO.labels, *labels_of.values()))
        self._groups = groups
        self._known: Sequence[Container] | None = None
        self._states_text: Block = b""
        self._states = Sheet()
        self._usage = Sheet()
        self._usages: dict[str, Usage] = {}
        self._reading = Reading(b"", ())

    def read(self, timeout: float) -> Reading:
        """Return this moment's rows, the same object while nothing moved. Blocks for the timeout at most.

        Raises EngineError.
        """
        containers = self._containers.read(timeout)
        is_new = containers is not self._known
        if is_new:
            self._known = None  # an error below must not leave half of it
            self._states_text = self._states.render(state_samples(containers, self._info, self._labels_of))
        running = [one for one in containers if one.state in _HAS_GROUP]
        usages = self._groups.read((one.id, _pid_of(one)) for one in running)
        if is_new or usages != self._usages:
            block = self._states_text + self._usage.render(usage_samples(running, usages))
            self._reading = Reading(block, [(one, usages.get(one.id)) for one in containers])
        self._known, self._usages = containers, usages
        return self._reading

    def close(self) -> None:
        """Close connections and files."""
        self._containers.close()
        self._groups.close()


def _pid_of(one: Container) -> int:
    return one.detail.state.pid if one.detail is not None else 0


def state_samples(containers: Sequence[Container], info: Family, labels_of: Mapping[str, str]) -> Iterator[Sample]:
    """Yield what changes seldom; `info` is INFO with the labels of `labels_of`, which are containers' own."""
    # those that do not run first: should there be more than the cap of a family allows, these are the news
    for one in sorted(containers, key=lambda one: (one.state == "running", one.name)):
        for state in STATES:
            yield STATE, (one.name, one.image, state), b"1" if state == one.state else b"0"
        yield CREATED, (one.name,), b"%d" % one.created
        labels = _label_values(one.labels, labels_of)
        yield info, (one.name, one.image, one.version, *labels), b"1"
        if one.detail is not None:
            yield from _detail_samples(one, one.detail)


def _detail_samples(one: Container, detail: Inspected) -> Iterator[Sample]:
    labels = (one.name,)
    if one.state == "running" and detail.health is not None:
        for status in HEALTH_STATES:
            yield HEALTH, (one.name, status), b"1" if status == detail.health else b"0"
    if one.state in _HAS_ENDED:
        yield EXIT_CODE, labels, b"%d" % detail.state.exit_code
    yield OOM_KILLED, labels, b"1" if detail.state.oom_killed else b"0"
    if detail.restarts is not None:
        yield RESTARTS, labels, b"%d" % detail.restarts
    for family, text in ((STARTED, detail.state.started_at), (FINISHED, detail.state.finished_at)):
        moment = parse_time(text)
        if moment is not None:
            yield family, labels, number(moment)
    if detail.memory_limit is not None:
        yield LIMIT, labels, b"%d" % detail.memory_limit


def _label_values(raw: bytes, names: Mapping[str, str]) -> Iterator[str]:
    """Yield a container's values of the labels that are wanted, empty where it has not got one."""
    if not names:
        return
    try:
        labels = msgspec.json.decode(raw, type=dict[str, str] | None) or {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        labels = {}
    for label in names:
        yield labels.get(label, "")[:MAX_LABEL]


def usage_samples(running: Sequence[Container], usages: Mapping[str, Usage]) -> Iterator[Sample]:
    """Yield what changes all the time."""
    for one in running:
        usage = usages.get(one.id)
        if usage is None:
            continue
        for mode, seconds in (("user", usage.user_seconds), ("system", usage.system_seconds)):
            if seconds is not None:
                yield CPU, (one.name, mode), number(round(seconds, 6))
        for family, value in ((MEMORY, usage.memory_bytes), (OOM_KILLS, usage.oom_kills)):
            if value is not None:
                yield family, (one.name,), b"%d" % value
