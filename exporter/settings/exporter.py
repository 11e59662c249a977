"""The settings of `hostwatch serve`, as types; field by field they are documented in docs/settings.md."""

from typing import Annotated, Literal

import msgspec

from exporter.settings.values import Duration, Regex, default, parse_address


def above_zero(settings: msgspec.Struct, *names: str) -> None:
    """Refuse durations of nothing."""
    for name in names:
        if getattr(settings, name) <= 0:
            raise ValueError(f"{name}: expected more than 0s")


class Logs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a daemon logs, on standard error."""

    format: Literal["json", "text"] = "json"
    """One JSON object a line for programs, or lines of text for people."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important events that are logged."""


class Collector(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What every collector can be told."""

    enabled: bool = True
    """Whether this collector runs at all."""


class NetdevSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """Network device counters; the expressions must match a device's whole name."""

    device_include: Regex | None = None
    """Only devices of these names; not together with device_exclude."""
    device_exclude: Regex | None = None
    """All devices but those of these names."""

    def __post_init__(self) -> None:
        """Refuse both expressions at once, as node_exporter does."""
        if self.device_include is not None and self.device_exclude is not None:
            raise ValueError("expected device_include or device_exclude, not both")


class FilesystemSettings(Collector, forbid_unknown_fields=True, frozen=True):
    """File systems; the default exclusions are those of Debian's node_exporter."""

    mount_points_exclude: Regex = default(
        Regex(r"^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)")
    )
    """Mount points to leave out; finds anywhere in the path."""
    fs_types_exclude: Regex = default(
        Regex(
            r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs"
            r"|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$"
        )
    )
    """Types of file system to leave out; finds anywhere in the type."""
    mount_timeout: Duration = default(Duration(2))
    """A dead mount costs a scrape this much once; after that it is skipped until it answers again."""

    def __post_init__(self) -> None:
        """Refuse no time at all: no mount would answer."""
        above_zero(self, "mount_timeout")


class Collectors(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One key per collector, by the name in its `collector` label."""

    cpu: Collector = Collector()
    exporter: Collector = Collector()
    filesystem: FilesystemSettings = default(FilesystemSettings())
    loadavg: Collector = Collector()
    meminfo: Collector = Collector()
    netdev: NetdevSettings = NetdevSettings()
    stat: Collector = Collector()
    usage: Collector = Collector()


class Scrape(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Time limits of one scrape."""

    collector_timeout: Duration = default(Duration(5))
    """A collector on a thread that takes longer has failed, and is left alone until it is back."""
    timeout_offset: Duration = default(Duration(0.5))
    """What the scraper's own time-out (a header) is shortened by, so that the answer arrives in time."""

    def __post_init__(self) -> None:
        """Refuse no time at all: every collector on a thread would fail."""
        above_zero(self, "collector_timeout")


class Http(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Limits of the exporter's HTTP server."""

    max_connections: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 512
    """Open connections at most; over it, the one that has been quiet longest makes room."""
    request_timeout: Duration = default(Duration(10))
    """How long a request may take to arrive, and an answer to be taken."""
    idle_timeout: Duration = default(Duration(300))
    """How long a connection stays open between two requests."""

    def __post_init__(self) -> None:
        """Refuse no time at all: every connection would close before its request came."""
        above_zero(self, "request_timeout", "idle_timeout")


class Sampler(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The timer behind the usage gauges."""

    interval: Duration = default(Duration(5))
    """From one reading to the next, 1s to 60s."""

    def __post_init__(self) -> None:
        """Refuse what would burn CPU or make a window without samples."""
        if not 1 <= self.interval <= 60:
            raise ValueError(f"interval: expected 1s to 60s, got {self.interval}")


class Exporter(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of `hostwatch serve`; every one has a default that works."""

    listen: str = "127.0.0.1:10101"
    """ADDRESS:PORT; IPv6 in brackets, no address means all. A change needs a restart."""
    log: Logs = default(Logs())
    scrape: Scrape = default(Scrape())
    http: Http = default(Http())
    sampler: Sampler = default(Sampler())
    collectors: Collectors = default(Collectors())

    def __post_init__(self) -> None:
        """Refuse an address that cannot be listened on."""
        try:
            parse_address(self.listen)
        except ValueError as err:
            raise ValueError(f"listen: {err}") from err
