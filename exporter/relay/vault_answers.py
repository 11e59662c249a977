"""What Vault's answers mean: grants, versions, the secret, refusals. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

import msgspec

from exporter.logs import Secret, mask
from exporter.relay.vault_settings import Vault

# our token for Vault may end meanwhile
MAX_RETRY_AFTER: Final = 300.0
_MAX_TOKEN: Final = 4096
_WORD: Final = re.compile(r"[!-~]+", re.ASCII)
_CHANNEL: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,100}")


class Trouble(StrEnum):
    """Why Vault did not give what it was asked for."""

    UNREACHABLE = "unreachable"
    SEALED = "sealed"
    DENIED = "denied"
    LIMITED = "limited"
    MISSING = "missing"
    UNUSABLE = "unusable"


class VaultError(Exception):
    """A call to Vault failed; the text is of our own words, behind "Vault"."""

    def __init__(self, trouble: Trouble, text: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.trouble = trouble
        self.text = text
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.text

    def denied(self, text: str) -> "VaultError":
        """Return this error as one of credentials, told in other words."""
        what = self.text.rpartition(": ")[2]
        return VaultError(Trouble.DENIED, f"{text} (HTTP {self.status}): {what}", status=self.status)


def answer_of(status: int, retry_after: str, body: bytes) -> object:
    """Return the JSON of an answer; None for a success that holds none. Raises VaultError."""
    try:
        data = json.loads(body) if body else {}
    except (ValueError, RecursionError):  # a large body was cut: it is none of Vault's either
        data = None
    if 200 <= status < 300:
        return data
    raise _refusal(status, retry_after, data if isinstance(data, dict) else None)


NOT_VAULT: Final = "answers, but not as Vault does: is vault.address right?"


def _refusal(status: int, retry_after: str, data: Mapping[str, Any] | None) -> VaultError:
    """Return what an answer that is no success means; `data` is its JSON object, if it is one."""
    errors = data.get("errors") if data else None
    said = " ".join(str(one) for one in errors).lower() if isinstance(errors, list) else ""
    trouble, text = _meaning(status, said, is_vault=data is not None)
    if status == 404 and data and isinstance(data.get("data"), dict):  # what is deleted still has metadata
        text = "has deleted this version"
    wait = min(float(retry_after[:9]), MAX_RETRY_AFTER) if retry_after.isascii() and retry_after.isdigit() else None
    return VaultError(trouble, f"{text} (HTTP {status})", status=status, retry_after=wait)


def _meaning(status: int, said: str, *, is_vault: bool) -> tuple[Trouble, str]:
    if 300 <= status < 400:
        return Trouble.UNREACHABLE, "is not the active node and sends elsewhere, where it is not followed"
    if status == 503 and "sealed" in said:
        return Trouble.SEALED, "is sealed"
    if status == 501:
        return Trouble.SEALED, "is not initialized"
    if status in _MEANINGS and (is_vault or status in {429, 503}):
        return _MEANINGS[status]
    if status >= 500:
        return Trouble.UNREACHABLE, "has a fault"
    return Trouble.UNUSABLE, "does not know such a request" if is_vault else NOT_VAULT


_MEANINGS: Final = {
    400: (Trouble.UNUSABLE, "does not accept the request"),
    401: (Trouble.DENIED, "denies it"),
    403: (Trouble.DENIED, "denies it"),
    404: (Trouble.MISSING, "has no such path"),
    # one that lags behind the active node: soon it does not
    412: (Trouble.UNREACHABLE, "is a standby that is not up to date yet"),
    429: (Trouble.LIMITED, "takes no more requests for now"),
    472: (Trouble.UNREACHABLE, "is a standby for disasters"),
    473: (Trouble.UNREACHABLE, "is a performance standby"),
    503: (Trouble.UNREACHABLE, "is not available"),
}


class Grant(msgspec.Struct, frozen=True):
    """A token and how long it lives: seconds, 0 for ever."""

    token: Secret
    seconds: float
    renewable: bool

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Return the grant in an answer of login or renew-self. Raises VaultError."""
        auth = answer.get("auth")
        if not isinstance(auth, dict):
            raise VaultError(Trouble.UNUSABLE, NOT_VAULT)
        token, seconds = auth.get("client_token"), auth.get("lease_duration")
        if not _is_word(token) or not isinstance(seconds, int | float) or seconds < 0:
            raise VaultError(Trouble.UNUSABLE, NOT_VAULT)
        return cls(token=Secret(str(token)), seconds=float(seconds), renewable=auth.get("renewable") is True)


class Version(msgspec.Struct, frozen=True):
    """One version of the secret: its number, when it was made, and whether it is deleted or destroyed."""

    number: int
    created: str = ""
    gone: bool = False

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Return the newest version that an answer of the metadata names. Raises VaultError."""
        data = answer.get("data")
        number = data.get("current_version") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(number, int):
            raise VaultError(Trouble.UNUSABLE, NOT_VAULT)
        versions = data.get("versions")
        return cls.from_metadata(number, versions.get(str(number)) if isinstance(versions, dict) else None)

    @classmethod
    def from_metadata(cls, number: int, one: object) -> Self:
        """Return the version that one entry of the metadata describes."""
        known: Mapping[str, Any] = one if isinstance(one, dict) else {}
        gone = number < 1 or known.get("destroyed") is True or _is_past(str(known.get("deletion_time") or ""))
        created = str(known.get("created_time") or "")
        return cls(number=number, created=created if re.fullmatch(r"[0-9TZ:.+-]{0,40}", created) else "", gone=gone)


class Found(msgspec.Struct, frozen=True):
    """What the secret holds for us."""

    version: Version
    token: Secret
    channels: Mapping[str, str]
    complaint: str = ""
    """What is wrong with the channels, which are then not those of the secret."""

    @classmethod
    def of(cls, answer: Mapping[str, Any], settings: Vault) -> Self:
        """Return the secret in an answer. Raises VaultError naming what is wrong with it, never what it holds."""
        outer = answer.get("data")
        data = outer.get("data") if isinstance(outer, dict) else None
        about = outer.get("metadata") if isinstance(outer, dict) else None
        if not isinstance(data, dict) or not isinstance(about, dict) or not isinstance(about.get("version"), int):
            raise VaultError(Trouble.UNUSABLE, f"has no key-value engine of version 2 at {settings.mount}/")
        version = Version.from_metadata(about["version"], about)
        where = f"{settings.secret} (version {version.number})"
        token = data.get(settings.token_key)
        # a token that was written from a file ends with its line end
        token = token.strip() if isinstance(token, str) else token
        if token is None or token == "":
            raise VaultError(Trouble.UNUSABLE, f"has no key {settings.token_key} in {where}")
        if not _is_word(token):
            raise VaultError(Trouble.UNUSABLE, f"has no token in {where}, {settings.token_key}: expected one word")
        channels, complaint = _channels(data, settings)
        return cls(
            version=version,
            token=Secret(token),
            channels=channels,
            complaint=f"{complaint} in {where}" if complaint else "",
        )


def _channels(data: Mapping[str, Any], settings: Vault) -> tuple[dict[str, str], str]:
    """Return the channels that a secret names, and what is wrong with them."""
    out: dict[str, str] = {}
    one = data.get(settings.channel_key)
    if one not in (None, ""):
        if not _is_channel(one):
            return {}, f"{settings.channel_key}: expected a channel's name or ID, such as #alerts"
        out[""] = str(one).strip()
    several = data.get(settings.channels_key)
    if isinstance(several, str):
        try:
            several = json.loads(several) if several.strip() else None
        except (ValueError, RecursionError):
            several = 0
    if several is None:
        return out, ""
    if not isinstance(several, dict) or not all(_is_channel(channel) for channel in several.values()):
        example = '{"team-a": "#team-a"}'
        return {}, f"{settings.channels_key}: expected channels by receiver as a JSON object, such as {example}"
    return out | {receiver: channel.strip() for receiver, channel in several.items()}, ""


def _is_channel(value: object) -> bool:
    """Say whether a value may be a channel; a token that stands in the wrong place would be shown."""
    return isinstance(value, str) and bool(_CHANNEL.fullmatch(value.strip())) and mask(value) == value


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TOKEN and bool(_WORD.fullmatch(value))


def _is_past(moment: str) -> bool:
    """Say whether a moment as Vault writes it (RFC 3339 in UTC, nanoseconds) has come: it may be set ahead."""
    if not moment:
        return False
    try:
        return datetime.fromisoformat(moment[:19]).replace(tzinfo=UTC) <= datetime.now(UTC)
    except ValueError:
        return True
