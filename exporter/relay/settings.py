"""The settings of `hostwatch relay`, as types; field by field they are documented in docs/settings.md."""

import re
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from exporter.relay.channels import ChannelRoute
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
    timeout: Duration = default(Duration(10))
    # calls at one time
    senders: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    # Slack takes about one message a second in one channel, and 50 updates a minute in all
    posts_per_second: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 0.9
    burst: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
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


class Relay(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of `hostwatch relay`; all but `token_file` have a default that works."""

    listen: str = "127.0.0.1:10102"
    # holds the bearer token that Alertmanager's credentials_file holds; read again whenever the file changes
    token_file: str | None = None
    database: str = "/var/lib/hostwatch/relay.db"
    # the address under which people reach the relay's page; messages link to it
    external_url: str | None = None
    slack: SlackSettings = default(SlackSettings())
    log: Logs = default(Logs())
    limits: Limits = default(Limits())
    http: RelayHttp = default(RelayHttp())

    def __post_init__(self) -> None:
        """Refuse an address that cannot be listened on and a link that cannot be followed."""
        try:
            parse_address(self.listen)
        except ValueError as err:
            raise ValueError(f"listen: {err}") from err
        if self.external_url is not None and not _is_web_address(self.external_url):
            raise ValueError("external_url: expected an address such as https://relay.example.com/")
