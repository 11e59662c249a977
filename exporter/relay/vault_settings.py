"""Where in Vault the Slack credentials are, and how the relay logs in: the settings `vault:`."""

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from exporter.settings import Duration, default
from exporter.settings.values import above_zero

_SEGMENTS: Final = re.compile(r"[A-Za-z0-9_.@:+=-]+(?:/[A-Za-z0-9_.@:+=-]+)*", re.ASCII)
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9_.@-]{1,255}", re.ASCII)
_KEY: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")


class Vault(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Vault, from which the relay has its Slack token and channels. It logs in with AppRole and reads one secret."""

    # of the active node or of what leads to it: redirects are not followed, since they would carry the token away
    address: str
    # Vault Enterprise and OpenBao
    namespace: str = ""
    # certificates of the authorities that may have signed Vault's; without it those that Python's certifi knows
    ca_file: str | None = None
    # allows http:// to another machine: everything, the token too, is then readable on the way
    allow_http: bool = False
    # where AppRole is mounted
    auth_mount: str = "approle"
    # each is read again at every login; the systemd credential of that name is tried first
    role_id_file: str | None = None
    secret_id_file: str | None = None
    role_id_credential: str = "vault-role-id"
    secret_id_credential: str = "vault-secret-id"  # noqa: S105 -- a file's name
    # a key-value engine of version 2, and the secret in it, without data/
    mount: str = "secret"
    path: str = "hostwatch/slack"
    # which of the secret's keys hold the bot token, a channel, and channels by receiver (a JSON object)
    token_key: str = "bot_token"  # noqa: S105 -- a key's name
    channel_key: str = "channel"
    channels_key: str = "channels"
    # a new version is in force after so long at the latest
    poll_interval: Duration = default(Duration(60))
    # one request, from the first byte to the last
    timeout: Duration = default(Duration(10))
    # the wait after a failure; it doubles with each one in a row, up to 60 times this
    retry_after: Duration = default(Duration(1))
    # a response that is larger is none of Vault's
    response_bytes: Annotated[int, msgspec.Meta(ge=4096, le=64 * 1024 * 1024)] = 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse addresses, mounts, paths and names that cannot be meant."""
        above_zero(self, "poll_interval", "timeout", "retry_after")
        _check_address(self.address, allow_http=self.allow_http)
        _check_path(self)
        if self.namespace and not _SEGMENTS.fullmatch(self.namespace.removesuffix("/")):
            raise ValueError("namespace: expected a name such as team or parent/team")
        for name in ("role_id_credential", "secret_id_credential"):
            if not _CREDENTIAL.fullmatch(getattr(self, name)) or getattr(self, name) in {".", ".."}:
                raise ValueError(f"{name}: expected the name of a systemd credential, such as vault-secret-id")
        keys = [self.token_key, self.channel_key, self.channels_key]
        for name in ("token_key", "channel_key", "channels_key"):
            if not _KEY.fullmatch(getattr(self, name)) or keys.count(getattr(self, name)) > 1:
                raise ValueError(f"{name}: expected one of the secret's keys, each named once")

    @property
    def secret(self) -> str:
        """The secret's name for people: mount and path."""
        return f"{self.mount}/{self.path}"


def _check_path(settings: Vault) -> None:
    """Refuse mounts and a path that Vault could take for another."""
    for name in ("auth_mount", "mount", "path"):
        text = getattr(settings, name)
        if not _SEGMENTS.fullmatch(text) or {".", ".."} & set(text.split("/")):
            raise ValueError(
                f"{name}: expected names with / between them and none at the ends, such as hostwatch/slack"
            )
    if settings.auth_mount.startswith("auth/"):
        raise ValueError("auth_mount: expected the mount without auth/, such as approle")
    if settings.path.startswith("data/"):
        raise ValueError("path: expected the secret's path without data/, such as hostwatch/slack")


def _check_address(text: str, *, allow_http: bool) -> None:
    """Refuse an address that is none, that holds a password, or that sends secrets in the clear unasked."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or not text.isascii() or any(c.isspace() for c in text):
        raise ValueError("address: expected an address such as https://vault.example.com:8200")
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path not in {"", "/"}:
        raise ValueError("address: expected scheme, host and port only, such as https://vault.example.com:8200")
    if parts.scheme == "http" and not (allow_http or is_loopback(host)):
        raise ValueError(
            "address: expected https://, since http:// shows the token to everyone on the way; if that is meant, set"
            " allow_http: true"
        )


def is_loopback(host: str) -> bool:
    """Say whether a host's name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
