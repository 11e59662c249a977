"""The settings of `hostwatch serve`, as types; field by field they are documented in docs/settings.md."""

from typing import Annotated, Literal

import msgspec

from exporter.settings.collectors import Collectors
from exporter.settings.probes import Probes
from exporter.settings.values import Duration, above_zero, default, parse_address


class Logs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a daemon logs, on standard error."""

    format: Literal["json", "text"] = "json"
    """One JSON object a line for programs, or lines of text for people."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important events that are logged."""


class Paths(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where the machine's own trees are, for an exporter in a container that watches its host."""

    procfs: str = "/proc"
    """The machine's /proc; another one than /proc also means the network of its process 1."""
    sysfs: str = "/sys"
    """The machine's /sys."""
    rootfs: str = "/"
    """The machine's root: mount points are asked below it and named without it."""
    udev_data: str = "/run/udev/data"
    """What udev knows of the machine's block devices."""

    def __post_init__(self) -> None:
        """Refuse what depends on the folder that the daemon was started in."""
        for name in self.__struct_fields__:
            if not getattr(self, name).startswith("/"):
                raise ValueError(f"{name}: expected a path from the root, such as /host/proc")


class Scrape(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Time limits of one scrape."""

    collector_timeout: Duration = default(Duration(5))
    """A collector on a thread that takes longer has failed, and is left alone until it is back."""
    timeout_offset: Duration = default(Duration(0.5))
    """What the scraper's own time-out (a header) is shortened by, so that the answer arrives in time."""

    series_per_family: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4096
    """Samples of one family at most; more are left out and counted."""

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


class Dashboard(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The page at / for people. Nothing is computed for it, or asked, while nobody looks."""

    enabled: bool = True
    """Without it there is a page of links at /, and no stream."""
    prometheus_url: str = ""
    """Where to ask what fires, such as http://localhost:9090; without it the page shows no alerts."""
    instance: str = ""
    """Only alerts whose label `instance` is this one; without it all."""
    max_pages: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    """Open pages at most; one more is told to try again later."""

    def __post_init__(self) -> None:
        """Refuse what is no address, and a password that everybody who sees the settings would see."""
        if self.prometheus_url and not self.prometheus_url.startswith(("http://", "https://")):
            raise ValueError("prometheus_url: expected an address such as http://localhost:9090")
        if "@" in self.prometheus_url:
            raise ValueError("prometheus_url: expected an address without a user and password")


class Exporter(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of `hostwatch serve`; every one has a default that works."""

    listen: str = "127.0.0.1:10101"
    """ADDRESS:PORT; IPv6 in brackets, no address means all. A change needs a restart."""
    log: Logs = default(Logs())
    scrape: Scrape = default(Scrape())
    http: Http = default(Http())
    sampler: Sampler = default(Sampler())
    paths: Paths = Paths()
    collectors: Collectors = default(Collectors())
    probes: Probes = default(Probes())
    dashboard: Dashboard = default(Dashboard())

    def __post_init__(self) -> None:
        """Refuse an address that cannot be listened on."""
        try:
            parse_address(self.listen)
        except ValueError as err:
            raise ValueError(f"listen: {err}") from err
