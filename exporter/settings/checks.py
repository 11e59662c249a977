"""The settings of the service checks; field by field they are documented in docs/settings.md."""

import re
from typing import Annotated, Final, Literal

import msgspec

from exporter.settings.http_check import BasicAuth, Expected, HttpSettings, JsonValue
from exporter.settings.processes import Match
from exporter.settings.schedule import CheckSettings
from exporter.settings.targets import Family, TlsOptions, absolute, host_and_port
from exporter.settings.values import Regex, default, shown

__all__ = [
    "BasicAuth",
    "DnsSettings",
    "Expected",
    "HttpSettings",
    "JsonValue",
    "ProcessSettings",
    "Step",
    "TcpSettings",
    "TlsSettings",
    "UnitSettings",
]

MAX_STEPS: Final = 100
DNS_PORT: Final = 53

RecordType = Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]
ResponseCode = Literal["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"]

# labels of 1 to 63 octets (RFC 1035 2.3.4); `/` is for networks smaller than 256 (RFC 2317)
_QUESTION: Final = re.compile(r"(?=.{1,253}$)(?:[A-Za-z0-9_*/+-]{1,63}\.)*[A-Za-z0-9_*/+-]{1,63}|\.", re.ASCII)
# man systemd.unit: a name of these characters and one of these suffixes
_UNIT: Final = re.compile(
    r"[A-Za-z0-9:_.\\@-]{1,244}\.(?:service|socket|device|mount|automount|swap|target|path|timer|slice|scope)", re.ASCII
)


class Step(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A turn of a conversation: wait for a line, say one, go on in TLS; in this order where there is more than one."""

    expect: Regex | None = None
    """Read lines until one matches, anywhere in it."""
    send: Annotated[str, msgspec.Meta(max_length=65536)] | None = None
    """A text to send, with `line_end` behind it."""
    starttls: bool = False
    """Begin TLS; what comes after it is encrypted."""

    def __post_init__(self) -> None:
        """Refuse a turn in which nothing happens."""
        if self.expect is None and self.send is None and not self.starttls:
            raise ValueError("expected one or more of expect, send, starttls")


class TcpSettings(CheckSettings, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A port that takes connections, and perhaps knows how to talk."""

    address: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    """HOST:PORT; IPv6 in brackets."""
    conversation: Annotated[tuple[Step, ...], msgspec.Meta(max_length=MAX_STEPS)] = ()
    """What to say and to expect, in turns; without it a connection is enough."""
    line_end: Literal["crlf", "lf", "none"] = "crlf"
    """What ends a line that is sent."""
    tls: TlsOptions | None = None
    """TLS from the start, or from the turn with starttls on, and how its certificate is checked; {} is fine."""
    family: Family = "any"
    """Which addresses of a name to ask, one after the other; any is all of them as the system sorts them."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        super().__post_init__()
        _check_address(self.address)
        turns = sum(step.starttls for step in self.conversation)
        if turns > 1:
            raise ValueError(f"conversation: expected starttls once at most, got it {turns} times")

    @property
    def tls_first(self) -> bool:
        """Whether the conversation begins in TLS."""
        return self.tls is not None and not any(step.starttls for step in self.conversation)


class TlsSettings(CheckSettings, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A certificate that a server shows."""

    address: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    """HOST:PORT; IPv6 in brackets."""
    tls: TlsOptions = default(TlsOptions())
    """How the certificate is checked."""
    family: Family = "any"
    """Which addresses of a name to ask, one after the other; any is all of them as the system sorts them."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        super().__post_init__()
        _check_address(self.address)


def _check_address(text: str) -> None:
    try:
        host_and_port(text)
    except ValueError as err:
        raise ValueError(f"address: {err}") from err


class DnsSettings(CheckSettings, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A name that a name server knows."""

    server: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    """The name server: HOST or HOST:PORT; IPv6 with a port in brackets."""
    question: Annotated[str, msgspec.Meta(min_length=1, max_length=254)]
    """The name to ask for, whole; other scripts in their xn-- form."""
    type: RecordType = "A"
    """The kind of record to ask for."""
    response_codes: Annotated[tuple[ResponseCode, ...], msgspec.Meta(min_length=1)] = ("NOERROR",)
    """Response codes that are good."""
    min_answers: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    """How many records of that kind there must be; without it 1, or 0 where a code other than NOERROR is good."""
    answers: tuple[Regex, ...] = ()
    """Expressions, each to be found in a record: `10 mail.example.com.`; names are whole, with a dot at the end."""
    forbidden_answers: tuple[Regex, ...] = ()
    """Expressions, none of them to be found in any record."""
    recursion: bool = True
    """Whether the server is to ask others in turn."""
    transport: Literal["udp", "tcp"] = "udp"
    """How to ask; a cut answer over udp is asked for again over tcp."""
    family: Family = "any"
    """Which addresses of the server's name to ask, one after the other."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        super().__post_init__()
        try:
            host_and_port(self.server, DNS_PORT)
        except ValueError as err:
            raise ValueError(f"server: {err}") from err
        if not _QUESTION.fullmatch(self.question.removesuffix(".") or "."):
            raise ValueError(
                f"question: expected a name in ASCII (xn--... for others) with parts of 1 to 63 characters, "
                f"got {shown(self.question)}"
            )

    @property
    def least(self) -> int:
        """How many records of the kind there must be at least."""
        if self.min_answers is not None:
            return self.min_answers
        return 1 if self.response_codes == ("NOERROR",) else 0


class UnitSettings(CheckSettings, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A unit of this machine's systemd."""

    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    """Its whole name, such as nginx.service."""
    state: Annotated[
        tuple[
            Literal["active", "reloading", "inactive", "failed", "activating", "deactivating", "maintenance"],
            ...,
        ],
        msgspec.Meta(min_length=1),
    ] = ("active",)
    """States (systemctl's ACTIVE column) that are good."""
    bus: Annotated[str, msgspec.Meta(max_length=107)] = "/run/dbus/system_bus_socket"
    """The socket of the system bus."""

    def __post_init__(self) -> None:
        """Refuse what no unit is called."""
        super().__post_init__()
        if not _UNIT.fullmatch(self.unit):
            raise ValueError(f"unit: expected a whole name such as nginx.service, got {shown(self.unit)}")
        absolute("bus", self.bus)


class ProcessSettings(CheckSettings, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Processes of this machine."""

    match: Match
    """Which processes are meant."""
    minimum: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1
    """How many must run."""
    maximum: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    """How many may run; without it any number."""

    def __post_init__(self) -> None:
        """Refuse limits that no number satisfies, or every number."""
        super().__post_init__()
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError(f"maximum: expected at least the minimum ({self.minimum}), got {self.maximum}")
        if self.minimum == 0 and self.maximum is None:
            raise ValueError("minimum: expected at least 1, or a maximum: with neither there is nothing to check")
