"""The settings of the containers collector."""

import re
from typing import Final

import msgspec

from exporter.settings.collector import Collector
from exporter.settings.values import Duration, above_zero, default, shown

MAX_LABELS: Final = 16
# what the families have themselves, and what Prometheus puts on every row of a target
_TAKEN: Final = frozenset({"name", "image", "version", "instance", "job"})
_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_OTHER: Final = re.compile(r"[^a-zA-Z0-9_]+")


class ContainersSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Containers of a Docker Engine, or of Podman's socket that answers like one."""

    socket: str = "/var/run/docker.sock"
    """The Unix socket of the API. Who may use it is as mighty as root: docs/containers.md tells of a lesser way."""
    timeout: Duration = default(Duration(3))
    """What one scrape may wait for the API in all."""
    labels: dict[str, str | None] = msgspec.field(default_factory=dict)
    """Labels of containers to show on host_container_info, each with its name there; without one its own, with _
    for what a name cannot hold: `com.docker.compose.service: compose_service`."""

    def __post_init__(self) -> None:
        """Refuse a relative socket, no time at all, and labels that cannot stand beside each other."""
        if not self.socket.startswith("/"):
            raise ValueError(f"socket: expected a path from the root, got {shown(self.socket)}")
        above_zero(self, "timeout")
        if len(self.labels) > MAX_LABELS:
            raise ValueError(f"labels: expected at most {MAX_LABELS}, got {len(self.labels)}")
        seen: dict[str, str] = {}
        for label, given in self.labels.items():
            name = label_name(label) if given is None else given
            if not _NAME.fullmatch(name):
                raise ValueError(f"labels: {label}: expected a name such as compose_service, got {shown(name)}")
            if name in _TAKEN:
                raise ValueError(f"labels: {label}: expected another name, {name} is taken")
            if name in seen:
                raise ValueError(f"labels: {label}: expected another name, {name} is that of {seen[name]}")
            seen[name] = label

    @property
    def label_names(self) -> dict[str, str]:
        """The name on the page of each container label."""
        return {label: label_name(label) if name is None else name for label, name in self.labels.items()}


def label_name(label: str) -> str:
    """Return a container label as the name of a metric's label: `com.docker.x` becomes `com_docker_x`."""
    return _OTHER.sub("_", label).strip("_")
