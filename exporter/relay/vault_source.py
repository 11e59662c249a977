"""Credentials from Vault: a thread that keeps a token for it and looks for new versions of one secret.

Whatever Vault does, the last good credentials stay in force, in memory; there is no other place that they come from.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from exporter.logs import Secret
from exporter.relay.credentials import Check, Credentials, Keeper
from exporter.relay.hold import backoff
from exporter.relay.slack import ErrorKind
from exporter.relay.vault_answers import Found, Trouble, VaultError, Version
from exporter.relay.vault_lease import FOREVER, Api, Counts, LeaseHolder
from exporter.relay.vault_settings import Vault

STARTING: Final = "starting"
OK: Final = "ok"
REFUSED: Final = "refused"
CONDITIONS: Final = (STARTING, OK, *map(str, Trouble), REFUSED)


class VaultStatus(msgspec.Struct, frozen=True):
    """How it is with Vault, for page and metrics; moments are seconds since 1970."""

    condition: str
    """One of CONDITIONS; `refused` when the newest version cannot be put in force, for Slack or for its channels."""
    lease_ends: float | None
    """None without a token for Vault, and for one that does not end."""
    last_success: float | None
    version: int | None
    """The version in force."""
    latest: int | None
    """The newest version that Vault is known to have."""


class VaultSource(Keeper):
    """The bot token and channels of one secret in Vault. `credentials` is systemd's folder of them, if there is one."""

    def __init__(
        self,
        settings: Vault,
        check: Check,
        api: Api,
        *,
        credentials: Path | None = None,
        first_wait: float = 1.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        dice: Callable[[float, float], float] = random.uniform,
    ) -> None:
        super().__init__(check, "vault", first_wait=first_wait, clock=clock, monotonic=monotonic)
        self._settings, self._api, self._dice = settings, api, dice
        self._holder = LeaseHolder(settings, api, credentials, monotonic, dice)
        self.failures: Counter[str] = Counter()
        """Looks that failed since the start, by trouble."""
        self._metadata = True
        self._found: Found | None = None
        self._version: int | None = None
        self._latest: int | None = None
        self._condition = STARTING
        self._last_success: float | None = None
        self._row = 0

    @property
    def counts(self) -> Counts:
        """Logins and renewals since the start."""
        return self._holder.counts

    @property
    def status(self) -> VaultStatus:
        """How it is with Vault."""
        lease = self._holder.lease
        left = lease.ends - self._monotonic() if lease else 0.0
        return VaultStatus(
            condition=self._condition,
            lease_ends=self._clock() + left if 0 < left < FOREVER else None,
            last_success=self._last_success,
            version=self._version,
            latest=self._latest,
        )

    def look(self) -> float:
        """Keep the token for Vault alive and take a new version of the secret if there is one."""
        try:
            problem = self._holder.keep()
            self._found = found = self._newest()
        except VaultError as err:
            return self._failed(err)
        self._last_success = self._clock()
        why = self._take(found)
        if problem is not None:  # the token for Vault still works, but the next one is not to be had
            return self._failed(problem)
        self._row = 0
        self._condition = REFUSED if why else OK
        self._tell(ok=not why, text=why or f"token of {self._name(found)}")
        return self._next_in()

    def _next_in(self) -> float:
        """Return the seconds until the next poll, or until something has to be done before."""
        wait, now = self._settings.poll_interval * self._dice(0.8, 1.0), self._monotonic()
        if self._holder.lease is not None:
            wait = min(wait, self._holder.lease.renew_at - now)
        if self._doubted or self._version != self._latest:  # Slack has to be asked once more
            wait = min(wait, self._ask_at - now)
        return max(wait, 0.01 * self._settings.retry_after)

    def _failed(self, err: VaultError) -> float:
        """Tell what went wrong; return when to try again."""
        self._row += 1
        self.failures[err.trouble] += 1
        self._condition = err.trouble
        kept = "" if self._current is None else "; the last good token stays in force"
        self._tell(ok=False, text=f"Vault {err.text}{kept}")
        return max(self._settings.retry_after * backoff(self._row), err.retry_after or 0.0)

    def _name(self, found: Found) -> str:
        return f"{self._settings.secret} in Vault, version {found.version.number}"

    def _take(self, found: Found) -> str:
        """Put a version in force; returns why that is not possible, or not in all."""
        number = found.version.number
        credentials = Credentials(
            token=found.token,
            version=f"vault:{number}:{found.version.created}",
            origin=self._name(found),
            channels=self._channels(found),
        )
        error = self._offer(credentials)
        if self._current is not None and self._current.version == credentials.version:
            self._version = number
        if error is not None:
            verb = "refuses" if error.kind is ErrorKind.TOKEN else "could not be asked about"
            kept = f"; version {self._version} stays in force" if self._version not in {None, number} else ""
            return f"Slack {verb} the token of {credentials.origin}: {error.code}{kept}"
        if self._doubted:
            return f"Slack refuses the token of {credentials.origin}"
        return f"Vault has no usable channels: {found.complaint}" if found.complaint else ""

    def _channels(self, found: Found) -> Mapping[str, str]:
        """Return a secret's channels; those in force if it has none that can be used."""
        if not found.complaint:
            return found.channels
        return self._current.channels if self._current is not None else {}

    def _newest(self) -> Found:
        """Return the newest version, read only if it is another than the last. Raises VaultError."""
        version = self._holder.allowed(self._look_at) if self._metadata else None
        if version is None:
            found = self._holder.allowed(self._api.read)
            self._latest = found.version.number
            return found
        self._latest = version.number
        if version.number < 1:
            raise VaultError(Trouble.MISSING, f"has no version of {self._settings.secret}")
        if version.gone:
            raise VaultError(Trouble.MISSING, f"has deleted version {version.number} of {self._settings.secret}")
        if self._found is not None and self._found.version == version:
            return self._found
        return self._holder.allowed(lambda token: self._api.read(token, version.number))

    def _look_at(self, token: Secret) -> Version | None:
        """Return the newest version; None where the policy lets the relay read the secret, not its metadata."""
        try:
            return self._api.latest(token)
        except VaultError as err:
            if err.trouble is not Trouble.DENIED or not self._api.is_valid(token):
                raise
        # one read of the secret each poll instead, until the next start
        self._metadata = False
        return None
