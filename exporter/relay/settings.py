"""The settings of `hostwatch relay`, as types; field by field they are documented in docs/settings.md."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from exporter.relay.channels import ChannelRoute
from exporter.relay.vault_settings import Vault, is_loopback
from exporter.settings import Duration, default, parse_address
from exporter.settings.exporter import Logs
from exporter.settings.values import above_zero

# docs.slack.dev, formatting: mentions of users, groups and whole channels
_ONE_MENTION: Final = r"<(?:!here|!channel|!everyone|@[UW][A-Z0-9]{2,20}|!subteam\^S[A-Z0-9]{2,20})>"
_MENTION: Final = re.compile(rf"{_ONE_MENTION}(?: {_ONE_MENTION})*")


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


class Limits(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What one relay takes in, holds and keeps."""

    # a group of 1,000 alerts is 1 to 2 MB; Alertmanager does not repeat what was refused with 413
    body_bytes: Annotated[int, msgspec.Meta(ge=1024, le=256 * 1024 * 1024)] = 8 * 1024 * 1024
    # all bodies that are being received at one time, together
    intake_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1024 * 1024 * 1024)] = 64 * 1024 * 1024
    # snapshots on disk that wait for their delivery; beyond it webhooks get 503 and Alertmanager tries again
    queue_snapshots: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 20_000
    database_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 1024 * 1024 * 1024
    dead_letters: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1_000
    # resolved messages that are kept for the page and for late copies
    history: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 500

    def __post_init__(self) -> None:
        """Refuse a total that one largest body does not fit into."""
        if self.intake_bytes < self.body_bytes:
            raise ValueError(f"expected intake_bytes to be at least body_bytes ({self.body_bytes})")


class RelayHttp(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Limits of the relay's HTTP server."""

    max_connections: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 256
    header_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1024 * 1024)] = 16 * 1024
    header_timeout: Duration = default(Duration(10))
    body_timeout: Duration = default(Duration(10))
    # the whole of one request, its answer included
    request_timeout: Duration = default(Duration(30))
    # longer than Alertmanager's usual group_interval pauses are worth: it opens a new connection in a millisecond
    idle_timeout: Duration = default(Duration(60))


class SlackSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where messages go. Without a token of either source the relay only shows what it would send."""

    # holds the bot token (xoxb-...), where there is no Vault; read again whenever the file changes
    token_file: str | None = None
    # a channel's name (#alerts) or ID, for what no route takes
    channel: str = ""
    # first match wins
    channels: tuple[ChannelRoute, ...] = ()
    # takes what Slack refuses in the channel it belongs to: archived, renamed, the app not invited
    fallback_channel: str = ""
    # who is mentioned, by severity, when a message is new or gets worse: <!here>, <!subteam^S0123>, <@U0123>
    mentions: Mapping[str, str] = {}
    api_url: str = "https://slack.com/api/"
    # allows http:// to another machine: the token is then readable on the way
    allow_http: bool = False
    # one call, from the first byte to the last
    timeout: Duration = default(Duration(10))
    # calls at one time
    senders: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    # Slack takes about one message a second in one channel
    posts_per_second: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 0.9
    burst: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    # in all channels "several hundred" messages a minute, and 50 updates; a tenth of them may go at once
    posts_per_minute: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 240
    updates_per_minute: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 45
    # news that waited longer than this say so
    late_after: Duration = default(Duration(120))
    # the wait after a failure; it doubles with each one in a row, up to 60 times this
    retry_after: Duration = default(Duration(1))
    # the same firing group again after so long is a reminder, sooner it is a cluster's copy
    repeat_after: Duration = default(Duration(600))

    def __post_init__(self) -> None:
        """Refuse mentions that Slack would show as text, and an address that is none."""
        above_zero(self, "timeout", "late_after", "retry_after", "repeat_after")
        for severity, mention in self.mentions.items():
            if not _MENTION.fullmatch(mention):
                raise ValueError(
                    f"mentions.{severity}: expected <!here>, <!channel>, <@USER_ID> or <!subteam^GROUP_ID>, several"
                    " with blanks between"
                )
        if not _is_web_address(self.api_url):
            raise ValueError("api_url: expected an address such as https://slack.com/api/")
        parts = urlsplit(self.api_url)
        if "@" in parts.netloc:
            raise ValueError("api_url: expected an address without a user, such as https://slack.com/api/")
        if parts.scheme == "http" and not (self.allow_http or is_loopback(parts.hostname or "")):
            raise ValueError(
                "api_url: expected https://, since http:// shows the token to everyone on the way; if that is meant,"
                " set allow_http: true"
            )


class AccessSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How a server that has locks is asked: name and password, whom to trust, and which certificate to show."""

    username: str = ""
    # read again whenever it is needed
    password_file: str | None = None
    # certificates of the authorities that may have signed the server's; without it the system's
    ca_file: str | None = None
    # a client certificate and its key
    cert_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        """Refuse halves."""
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username: expected password_file beside it, and the other way round")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file: expected cert_file beside it")


EvidenceKind = Literal["cpu", "memory", "disk", "latency", "none"]

_EVIDENCE: Final[dict[str, EvidenceKind]] = {
    "HostCpu*": "cpu",
    "HostLoad*": "cpu",
    "HostMemory*": "memory",
    "HostSwap*": "memory",
    "HostOom*": "memory",
    "HostDisk*": "disk",
    "HostInodes*": "disk",
    "HostLatency*": "latency",
    "Ping*": "latency",
}


class EvidenceSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Who did it: what the exporter of the machine in trouble knows of the moment goes into the message's thread."""

    # Prometheus, whose list of active targets says where a machine's exporter is; empty: no evidence
    prometheus_url: str = ""
    # the job of the exporters
    job: str = "node"
    # which alerts, by name (* stands for anything), get what; an annotation `evidence` of the alert wins
    alerts: dict[str, EvidenceKind] = default(_EVIDENCE)
    # one request, from the first byte to the last
    timeout: Duration = default(Duration(2))
    prometheus: AccessSettings = default(AccessSettings())
    exporter: AccessSettings = default(AccessSettings())

    def __post_init__(self) -> None:
        """Refuse an address that is none."""
        above_zero(self, "timeout")
        if self.prometheus_url and not _is_web_address(self.prometheus_url):
            raise ValueError("prometheus_url: expected an address such as http://prometheus.example.com:9090")
        if "@" in self.prometheus_url:
            raise ValueError("prometheus_url: expected an address without a user; see prometheus.username")


class ReconcileSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the Alertmanagers are asked which alerts have ended without a word: muted ones, and while one restarted."""

    interval: Duration = default(Duration(60))
    # so long none of them may know an alert; where their group_interval is longer, that and a fifth
    missing_for: Duration = default(Duration(120))
    # so long each has to run: after a restart it knows nothing until Prometheus tells again
    up_for: Duration = default(Duration(300))
    # one request, from the first byte to the last
    timeout: Duration = default(Duration(10))
    access: AccessSettings = default(AccessSettings())

    def __post_init__(self) -> None:
        """Refuse durations of nothing."""
        above_zero(self, "interval", "missing_for", "up_for", "timeout")


class WatchdogSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The alert that always fires: as long as it comes, the way from Prometheus to here works."""

    # its name; it is never shown as an alert
    alertname: str = "Watchdog"
    # so long it may stay away before Slack is told that the pipeline is silent
    silent_after: Duration = default(Duration(300))
    # true: it has to come; false: nobody is told when it does not; left out: once it was seen it has to come
    expected: bool | None = None
    # Slack is told again after so long
    repeat_after: Duration = default(Duration(4 * 3600))
    # holds an address outside that is called while all is well; whoever runs it tells when the calls stay away
    heartbeat_url_file: str | None = None
    heartbeat_interval: Duration = default(Duration(60))

    def __post_init__(self) -> None:
        """Refuse durations of nothing and an alert without a name."""
        above_zero(self, "silent_after", "repeat_after", "heartbeat_interval")
        if not self.alertname:
            raise ValueError("alertname: expected a name such as Watchdog")


class Relay(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of `hostwatch relay`; all but `token_file` have a default that works."""

    listen: str = "127.0.0.1:10102"
    # holds the bearer token that Alertmanager's credentials_file holds; read again whenever the file changes
    token_file: str | None = None
    database: str = "/var/lib/hostwatch/relay.db"
    # the address under which people reach the relay's page; messages link to it
    external_url: str | None = None
    slack: SlackSettings = default(SlackSettings())
    evidence: EvidenceSettings = default(EvidenceSettings())
    watchdog: WatchdogSettings = default(WatchdogSettings())
    # all Alertmanagers that send here (http://127.0.0.1:9093): what none of them knows any more is resolved; empty: off
    alertmanager_urls: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)] = ()
    reconcile: ReconcileSettings = default(ReconcileSettings())
    # where the bot token and channels come from, in place of slack.token_file
    vault: Vault | None = None
    log: Logs = default(Logs())
    limits: Limits = default(Limits())
    http: RelayHttp = default(RelayHttp())

    def __post_init__(self) -> None:
        """Refuse an address that cannot be listened on and a link that cannot be followed."""
        try:
            parse_address(self.listen)
        except ValueError as err:
            raise ValueError(f"listen: {err}") from err
        if self.vault is not None and self.slack.token_file is not None:
            raise ValueError("vault: expected either this or slack.token_file, not both: nothing falls back to a file")
        if self.external_url is not None and not _is_web_address(self.external_url):
            raise ValueError("external_url: expected an address such as https://relay.example.com/")
        for url in self.alertmanager_urls:
            if not _is_web_address(url) or "@" in url:
                raise ValueError("alertmanager_urls: expected addresses such as http://127.0.0.1:9093, without users")
