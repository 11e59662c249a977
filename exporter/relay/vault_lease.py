"""The relay's token for Vault: AppRole login, renewal at two thirds of its lease, a new login when it ends."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from exporter.logs import Log, Secret
from exporter.relay.token import TokenError, read_token
from exporter.relay.vault_answers import Found, Grant, Trouble, VaultError, Version
from exporter.relay.vault_settings import Vault

_log = Log("exporter.relay.vault")

T = TypeVar("T")

FOREVER: Final = float("inf")
# a renewal that gives less of the first lease than this has met the role's token_max_ttl
SHORTENED: Final = 0.9
# the same role_id and secret_id again after a denied login, in first waits: Vault locks a role after five of them in
# a quarter of an hour, for everyone who uses it
DENIED_WAIT: Final = 300


class Api(Protocol):
    """The calls to Vault; each may block and raises VaultError."""

    def login(self, role_id: Secret, secret_id: Secret) -> Grant:
        """Return a new token."""
        ...

    def renew(self, token: Secret) -> Grant:
        """Lengthen a token's life."""
        ...

    def is_valid(self, token: Secret) -> bool:
        """Say whether Vault knows a token."""
        ...

    def latest(self, token: Secret) -> Version:
        """Return which version of the secret is the newest."""
        ...

    def read(self, token: Secret, version: int | None = None) -> Found:
        """Return the secret; without a version the newest."""
        ...


class Lease(msgspec.Struct, frozen=True):
    """A token for Vault; moments are monotonic seconds."""

    token: Secret
    granted: float
    """Seconds that the login gave, 0 for ever."""
    ends: float
    renew_at: float
    renewable: bool
    last: bool = False
    """It cannot be lengthened any more."""


class Counts(msgspec.Struct):
    """What happened since the start."""

    logins: int = 0
    login_failures: int = 0
    renewals: int = 0
    renewal_failures: int = 0


class LeaseHolder:
    """Lives on the thread that asks Vault; `credentials` is systemd's folder of credentials, if there is one."""

    def __init__(
        self,
        settings: Vault,
        api: Api,
        credentials: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        dice: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._settings, self._api, self._credentials = settings, api, credentials
        self._monotonic, self._dice = monotonic, dice
        self.counts = Counts()
        self.lease: Lease | None = None
        # ids that a login was denied with, until when they are left alone, and why
        self._denied: dict[tuple[Secret, Secret], tuple[float, str]] = {}

    def keep(self) -> VaultError | None:
        """Have a token that works. Raises VaultError if there is none; returns it if there will be none soon."""
        lease, now = self.lease, self._monotonic()
        if lease is None or now >= lease.ends:
            self._login()
            return None
        if now < lease.renew_at and not lease.last:
            return None
        try:
            if lease.last or not lease.renewable or not self._renew(lease):
                self._login()
        except VaultError as err:
            if self.lease is None:
                raise
            return err
        return None

    def allowed(self, call: Callable[[Secret], T]) -> T:
        """Return what a call with the token gives; where it is denied since the token is none any more, with a new one.

        Raises VaultError.
        """
        if self.lease is None:
            self._login()
        token = self._token()
        try:
            return call(token)
        except VaultError as err:
            if err.trouble is not Trouble.DENIED or self._api.is_valid(token):
                raise
        self.lease = None
        self._login()
        return call(self._token())

    def _token(self) -> Secret:
        if self.lease is None:
            raise VaultError(Trouble.DENIED, "gave no token")
        return self.lease.token

    def _renew(self, lease: Lease) -> bool:
        """Renew the token; False if it has to be replaced."""
        begun = self._monotonic()
        try:
            grant = self._api.renew(lease.token)
        except VaultError as err:
            self.counts.renewal_failures += 1
            if err.trouble is Trouble.DENIED:  # revoked, or ended before its time
                self.lease = None
                return False
            raise
        self.counts.renewals += 1
        whole = grant.seconds == 0 or grant.seconds >= SHORTENED * lease.granted
        self._hold(grant, begun, lease.granted, last=not whole)
        return whole

    def _hold(self, grant: Grant, begun: float, granted: float, *, last: bool = False) -> None:
        seconds = grant.seconds or FOREVER
        self.lease = Lease(
            token=grant.token,
            granted=granted,
            ends=begun + seconds,
            # two thirds, spread so that many relays do not come at one time
            renew_at=begun + seconds * self._dice(0.6, 0.7),
            renewable=grant.renewable,
            last=last,
        )

    def _login(self) -> None:
        """Get a new token; one that still works stays until then. Raises VaultError."""
        denied = "gave no token"
        for ids in self._ids():
            begun = self._monotonic()
            until, why = self._denied.get(ids, (begun, ""))
            if begun >= until:
                try:
                    grant = self._api.login(*ids)
                except VaultError as err:
                    self.counts.login_failures += 1
                    if err.trouble is not Trouble.DENIED:
                        raise
                    why = err.text
                    self._denied[ids] = begun + DENIED_WAIT * self._settings.retry_after, why
                else:
                    self._hold(grant, begun, grant.seconds)
                    self.counts.logins += 1
                    _log.info("logged in to Vault", lease_seconds=grant.seconds, renewable=grant.renewable)
                    return
            denied = why
        raise VaultError(Trouble.DENIED, denied)

    def _ids(self) -> list[tuple[Secret, Secret]]:
        """Return the pairs of role_id and secret_id to try, each read now. Raises VaultError."""
        settings = self._settings
        roles = self._texts("role_id", settings.role_id_credential, settings.role_id_file)
        secrets = self._texts("secret_id", settings.secret_id_credential, settings.secret_id_file)
        pairs = [(role, secret) for role in roles for secret in secrets]
        # what is in no file any more is forgotten
        self._denied = {pair: kept for pair, kept in self._denied.items() if pair in pairs}
        return pairs

    def _texts(self, what: str, credential: str, file: str | None) -> list[Secret]:
        """Return what systemd's credential and the file hold, without repeats, the credential first."""
        paths = [self._credentials / credential] if self._credentials is not None else []
        paths = [path for path in paths if path.exists()] + ([Path(file)] if file is not None else [])
        found: dict[Secret, None] = {}
        problem = f"set vault.{what}_file, or LoadCredential={credential}:FILE in the relay's unit"
        for path in paths:
            try:
                found[read_token(path, f"vault.{what}_file")] = None
            except TokenError as err:
                problem = str(err)
        if not found:
            raise VaultError(Trouble.UNUSABLE, f"cannot be asked, there is no {what}: {problem}")
        return list(found)
