"""Vault's API: the one module that imports hvac. Blocks; each call has a connection of its own.

Nothing is taken from the environment, and no redirect is followed. No exception of hvac or requests, which carry
headers, leaves this module or the one below it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hvac
from hvac.adapters import JSONAdapter

from exporter.logs import Secret
from exporter.relay.vault_answers import NOT_VAULT, Found, Grant, Trouble, VaultError, Version, answer_of
from exporter.relay.vault_settings import Vault
from exporter.relay.vault_wire import exchange, session


class VaultApi:
    """The calls that the relay makes to one Vault. Each raises VaultError; for one thread at a time."""

    def __init__(self, settings: Vault) -> None:
        self._settings = settings

    def login(self, role_id: Secret, secret_id: Secret) -> Grant:
        """Return a new token (AppRole)."""
        mount = self._settings.auth_mount
        ids = {"role_id": role_id.reveal(), "secret_id": secret_id.reveal()}
        try:
            answer = self._call(
                None,
                f"AppRole login at auth/{mount}",
                lambda client: client.auth.approle.login(**ids, use_token=False, mount_point=mount),
            )
        except VaultError as err:
            raise err if err.status != 400 else err.denied("does not accept role_id or secret_id") from None
        return Grant.of(answer)

    def renew(self, token: Secret) -> Grant:
        """Lengthen a token's life and return how long it is now."""
        try:
            answer = self._call(token, "renewal of the relay's token", lambda client: client.auth.token.renew_self())
        except VaultError as err:
            raise err if err.status != 400 else err.denied("does not renew it") from None
        return Grant.of(answer)

    def is_valid(self, token: Secret) -> bool:
        """Say whether Vault knows a token, when it has denied something to it."""
        try:
            self._call(token, "look at the relay's token", lambda client: client.auth.token.lookup_self())
        except VaultError as err:
            if err.trouble is Trouble.DENIED:
                return False
            raise
        return True

    def latest(self, token: Secret) -> Version:
        """Return which version of the secret is the newest, without reading the secret."""
        name = {"path": self._settings.path, "mount_point": self._settings.mount}
        what = f"metadata of {self._settings.secret}"
        return Version.of(self._call(token, what, lambda client: client.secrets.kv.v2.read_secret_metadata(**name)))

    def read(self, token: Secret, version: int | None = None) -> Found:
        """Return the secret; without a version the newest."""
        name = {"path": self._settings.path, "mount_point": self._settings.mount, "version": version}
        answer = self._call(
            token,
            f"reading {self._settings.secret}",
            # its default is about to change
            lambda client: client.secrets.kv.v2.read_secret_version(**name, raise_on_deleted_version=True),
        )
        return Found.of(answer, self._settings)

    def _call(self, token: Secret | None, what: str, call: Callable[[hvac.Client], object]) -> Mapping[str, Any]:
        settings = self._settings
        if settings.ca_file is not None and not Path(settings.ca_file).is_file():
            raise VaultError(Trouble.UNUSABLE, f"cannot be asked: vault.ca_file {settings.ca_file}: no such file")
        with session(settings) as connections:
            client = hvac.Client(
                url=settings.address,
                # empty, not None: then hvac would look for one in the environment and in the home directory
                token=token.reveal() if token else "",
                namespace=settings.namespace or None,
                allow_redirects=False,
                session=connections,
                adapter=_adapter(settings),
            )
            try:
                answer = call(client)
            except VaultError as err:
                err.text += f": {what}"
                raise
        if not isinstance(answer, dict):
            raise VaultError(Trouble.UNUSABLE, f"{NOT_VAULT}: {what}")
        return answer


def _adapter(settings: Vault) -> type[JSONAdapter]:
    """Return hvac's way to the wire, with limits, and with errors that hold nothing secret."""

    class Wire(JSONAdapter):  # type: ignore[misc]  # hvac has no types
        def request(
            self,
            method: str,
            url: str,
            headers: Mapping[str, str] | None = None,
            raise_exception: bool = True,  # noqa: ARG002, FBT001, FBT002 -- hvac's signature
            **more: Any,  # noqa: ANN401 -- hvac's signature
        ) -> object:
            sent = {**(headers or {}), "X-Vault-Request": "true", "Accept-Encoding": "identity"}
            if self.token:
                sent["X-Vault-Token"] = self.token
            if self.namespace:
                sent["X-Vault-Namespace"] = self.namespace
            more.pop("wrap_ttl", None)
            address = self.urljoin(self.base_uri, url)
            return answer_of(*exchange(self.session, settings, method, address, headers=sent, **more))

    return Wire
