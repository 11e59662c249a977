"""The settings of the probes; field by field they are documented in docs/settings.md."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from exporter.settings.checks import (
    DnsSettings,
    HttpSettings,
    ProcessSettings,
    TcpSettings,
    TlsSettings,
    UnitSettings,
)
from exporter.settings.schedule import MAX_NAME
from exporter.settings.services_api import ServicesApiSettings
from exporter.settings.values import Duration, above_zero, default, shown

# the random bytes that tell an answer of ours from others'; and what IPv4's largest packet holds beside its headers
MIN_PAYLOAD = 16
MAX_PAYLOAD = 65507
MAX_TARGETS = 1000
# sequence numbers have 16 bits, and none may come again while its packet can still be answered
MAX_PACKETS_PER_SECOND = 1000
MAX_TIMEOUT = Duration(60)
# PingUnreachable takes rates over two minutes: a rate needs two samples between which a round has ended
MAX_INTERVAL = Duration(60)


def _refuse_repeated(key: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{key}: expected a name only once, got {shown(name)} twice")
        seen.add(name)


Host = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]

# a packet to them goes to this machine and is answered from another address
_NOBODY = ("0.0.0.0", "::", "0")  # noqa: S104 -- refused, not listened on


class PingTarget(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A host to ping."""

    address: Host
    """An address or a name, which is looked up before each round."""
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""
    """The label `target`; without it the address as it stands here."""
    family: Literal["any", "ipv4", "ipv6"] = "any"
    """Which addresses of a name to take; any is the one that the system prefers."""


class PingSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """ICMP echo: latency and loss of hosts."""

    enabled: bool = True
    """Whether hosts are pinged at all."""
    targets: tuple[Host | PingTarget, ...] = ("127.0.0.1",)
    """Hosts to ping: addresses, names, or mappings of address, name and family."""
    interval: Duration = default(Duration(15))
    """From one round to the next, 1s to 1m: alerts look back over two minutes."""
    count: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    """Packets to each target in a round."""
    packet_interval: Duration = default(Duration(1))
    """From one packet of a round to the next to the same target."""
    timeout: Duration = default(Duration(2))
    """How long an answer may take; later ones count as lost."""
    payload_bytes: Annotated[int, msgspec.Meta(ge=MIN_PAYLOAD, le=MAX_PAYLOAD)] = 56
    """Bytes in a packet behind the headers of IP and ICMP."""

    def __post_init__(self) -> None:
        """Refuse rounds that would run into each other, and more packets than sequence numbers."""
        above_zero(self, "packet_interval", "timeout")
        if not 1 <= self.interval <= MAX_INTERVAL:
            raise ValueError(f"interval: expected 1s to 1m, got {self.interval}")
        if self.timeout > MAX_TIMEOUT:
            raise ValueError(f"timeout: expected at most {MAX_TIMEOUT}, got {self.timeout}")
        takes = Duration((self.count - 1) * self.packet_interval + self.timeout)
        if takes > self.interval:
            raise ValueError(
                f"interval: expected at least {takes}, which {self.count} packets and their time-out take, "
                f"got {self.interval}"
            )
        if nobody := next((host.address for host in self.hosts if host.address in _NOBODY), None):
            raise ValueError(f"targets: expected the address of a host, got {shown(nobody)}")
        if len(self.targets) > MAX_TARGETS:
            raise ValueError(f"targets: expected at most {MAX_TARGETS}, got {len(self.targets)}")
        if len(self.targets) * self.count / self.interval > MAX_PACKETS_PER_SECOND:
            raise ValueError(f"targets: expected at most {MAX_PACKETS_PER_SECOND} packets a second in all")
        _refuse_repeated("targets", (target.name for target in self.hosts))

    @property
    def hosts(self) -> tuple[PingTarget, ...]:
        """The targets, each with its name."""
        full = (PingTarget(target) if isinstance(target, str) else target for target in self.targets)
        return tuple(t if t.name else msgspec.structs.replace(t, name=t.address) for t in full)


class Probes(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Checks on timers of their own: what is asked is said here, never by a request."""

    ping: PingSettings = default(PingSettings())
    http: tuple[HttpSettings, ...] = ()
    """Web pages and APIs."""
    tcp: tuple[TcpSettings, ...] = ()
    """Ports that take connections."""
    tls: tuple[TlsSettings, ...] = ()
    """Certificates that servers show."""
    dns: tuple[DnsSettings, ...] = ()
    """Names that name servers know."""
    unit: tuple[UnitSettings, ...] = ()
    """Units of this machine's systemd."""
    process: tuple[ProcessSettings, ...] = ()
    """Processes of this machine."""
    services_api: tuple[ServicesApiSettings, ...] = ()
    """APIs that list instances of services."""

    def __post_init__(self) -> None:
        """Refuse two checks of a kind with one name: their rows would be the same."""
        for kind in ("http", "tcp", "tls", "dns", "unit", "process", "services_api"):
            _refuse_repeated(kind, (check.name for check in getattr(self, kind)))
