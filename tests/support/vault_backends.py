"""The same Vault twice, for the contract suite: ours, and a real one at VAULT_ADDR, set up with VAULT_TOKEN."""

import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hvac

from exporter.logs import Secret
from exporter.relay.vault_settings import Vault
from tests.support.fake_vault import FakeVault

PATH = "hostwatch/slack"


class Backend(ABC):
    """What an administrator does to a Vault before and while the relay uses it."""

    @abstractmethod
    def settings(self, **more: Any) -> Vault:
        """Return settings for this Vault."""

    @abstractmethod
    def role(self, *, token_ttl: int = 600, token_max_ttl: int = 3600, token_type: str = "service") -> None:
        """Say what a login gives."""

    @abstractmethod
    def ids(self, uses: int = 0) -> tuple[Secret, Secret]:
        """Return role_id and a new secret_id."""

    @abstractmethod
    def allow(self, *kinds: str) -> None:
        """Let the role read `data` and `metadata` of the secret, or one of them, or neither."""

    @abstractmethod
    def write(self, **data: Any) -> int:
        """Write a version of the secret and return its number."""

    @abstractmethod
    def delete(self, number: int) -> None: ...

    @abstractmethod
    def undelete(self, number: int) -> None: ...

    @abstractmethod
    def destroy(self, number: int) -> None: ...

    @abstractmethod
    def revoke(self, token: Secret) -> None: ...


class FakeBackend(Backend):
    def __init__(self, vault: FakeVault) -> None:
        self._vault = vault

    def settings(self, **more: Any) -> Vault:
        return Vault(**{"address": self._vault.address, "path": PATH, **more})

    def role(self, *, token_ttl: int = 600, token_max_ttl: int = 3600, token_type: str = "service") -> None:
        role = self._vault.role
        role.token_ttl, role.token_max_ttl, role.token_type = token_ttl, token_max_ttl, token_type

    def ids(self, uses: int = 0) -> tuple[Secret, Secret]:
        return Secret(self._vault.role.role_id), Secret(self._vault.new_secret_id(uses))

    def allow(self, *kinds: str) -> None:
        self._vault.policies["hostwatch"] = {f"secret/{kind}/{PATH}" for kind in kinds}

    def write(self, **data: Any) -> int:
        return self._vault.write(PATH, **data)

    def delete(self, number: int) -> None:
        self._vault.delete(number, PATH)

    def undelete(self, number: int) -> None:
        self._vault.undelete(number, PATH)

    def destroy(self, number: int) -> None:
        self._vault.destroy(number, PATH)

    def revoke(self, token: Secret) -> None:
        del self._vault.tokens[token.reveal()]


class RealBackend(Backend):
    """Mounts, a policy and a role of its own in somebody's Vault; VAULT_TOKEN has to be allowed to make them."""

    def __init__(self) -> None:
        self._name = f"hostwatch-test-{uuid.uuid4().hex[:8]}"
        self._namespace = os.environ.get("VAULT_NAMESPACE", "")
        self._ca_file = os.environ.get("VAULT_CACERT")
        self._client = hvac.Client(
            url=os.environ["VAULT_ADDR"],
            token=os.environ["VAULT_TOKEN"],
            namespace=self._namespace or None,
            verify=self._ca_file or True,
        )
        self._kv = self._client.secrets.kv.v2

    def set_up(self) -> None:
        self._client.sys.enable_secrets_engine("kv", path=self._name, options={"version": "2"})
        self._client.sys.enable_auth_method("approle", path=self._name)
        self.allow("data", "metadata")
        self.role()

    def clean_up(self) -> None:
        self._client.sys.disable_secrets_engine(self._name)
        self._client.sys.disable_auth_method(self._name)
        self._client.sys.delete_policy(self._name)

    def settings(self, **more: Any) -> Vault:
        mounts = {"mount": self._name, "auth_mount": self._name, "path": PATH}
        place = {"address": os.environ["VAULT_ADDR"], "namespace": self._namespace, "ca_file": self._ca_file}
        return Vault(**{**place, **mounts, "allow_http": True, **more})

    def role(self, *, token_ttl: int = 600, token_max_ttl: int = 3600, token_type: str = "service") -> None:
        self._client.auth.approle.create_or_update_approle(
            self._name,
            token_ttl=token_ttl,
            token_max_ttl=token_max_ttl,
            token_type=token_type,
            token_policies=[self._name],
            mount_point=self._name,
        )

    def ids(self, uses: int = 0) -> tuple[Secret, Secret]:
        approle = self._client.auth.approle
        role = approle.read_role_id(self._name, mount_point=self._name)["data"]["role_id"]
        made = self._client.write_data(f"auth/{self._name}/role/{self._name}/secret-id", data={"num_uses": uses})
        return Secret(role), Secret(made["data"]["secret_id"])

    def allow(self, *kinds: str) -> None:
        rules = "\n".join(f'path "{self._name}/{kind}/{PATH}" {{ capabilities = ["read"] }}' for kind in kinds)
        self._client.sys.create_or_update_policy(self._name, rules or 'path "nothing" { capabilities = ["deny"] }')

    def write(self, **data: Any) -> int:
        made = self._kv.create_or_update_secret(PATH, secret=data, mount_point=self._name)
        return int(made["data"]["version"])

    def delete(self, number: int) -> None:
        self._kv.delete_secret_versions(PATH, [number], mount_point=self._name)

    def undelete(self, number: int) -> None:
        self._kv.undelete_secret_versions(PATH, [number], mount_point=self._name)

    def destroy(self, number: int) -> None:
        self._kv.destroy_secret_versions(PATH, [number], mount_point=self._name)

    def revoke(self, token: Secret) -> None:
        self._client.auth.token.revoke(token.reveal())


@contextmanager
def fake_backend() -> Iterator[Backend]:
    with FakeVault() as vault:
        backend = FakeBackend(vault)
        backend.role()
        yield backend


@contextmanager
def real_backend() -> Iterator[Backend]:
    backend = RealBackend()
    backend.set_up()
    try:
        yield backend
    finally:
        backend.clean_up()


BACKENDS = {"fake": fake_backend}
# without an account in somebody's Vault these are no skips: they are not there
if os.environ.get("VAULT_ADDR") and os.environ.get("VAULT_TOKEN"):
    BACKENDS["real"] = real_backend
